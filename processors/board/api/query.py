"""Query parameters of the API. An invalid one is an error that names what is allowed; none is ignored."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec
from multidict import MultiMapping

from processors.board.web.problems import Problem
from schemas.codec import UNREADABLE

T = TypeVar("T")

MAX_PAGE_SIZE = 500
DEFAULT_PAGE_SIZE = 100
MAX_TEXT_LENGTH = 128
MAX_DIGITS = 20


class Query:
    """The parameters of one request. Raises Problem if one is unknown or given twice."""

    def __init__(self, parameters: MultiMapping[str], known: Collection[str]) -> None:
        for name in parameters:
            if name not in known:
                raise invalid(
                    name[:MAX_TEXT_LENGTH],
                    parameters[name][:MAX_TEXT_LENGTH],
                    f"one of the parameters {', '.join(sorted(known))}",
                )
            if len(parameters.getall(name)) > 1:
                raise invalid(name, parameters[name][:MAX_TEXT_LENGTH], "one value")
        self._parameters: Mapping[str, str] = parameters

    def text(self, name: str) -> str | None:
        """Free text. Raises Problem if it is empty or too long."""
        value = self._parameters.get(name)
        if value is not None and not 1 <= len(value) <= MAX_TEXT_LENGTH:
            raise invalid(name, value[:MAX_TEXT_LENGTH], f"1 to {MAX_TEXT_LENGTH} characters")
        return value

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """One of the allowed values. Raises Problem for any other."""
        value = self._parameters.get(name)
        if value is not None and value not in allowed:
            raise invalid(name, value[:MAX_TEXT_LENGTH], "one of " + ", ".join(allowed))
        return value

    def number(self, name: str, minimum: int, maximum: int, default: int) -> int:
        """An integer within bounds. Raises Problem for any other value."""
        value = self._parameters.get(name)
        if value is None:
            return default
        is_number = value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS
        if not is_number or not minimum <= int(value) <= maximum:
            raise invalid(name, value[:MAX_TEXT_LENGTH], f"a whole number from {minimum} to {maximum}")
        return int(value)

    def limit(self) -> int:
        """The number of items on a page."""
        return self.number("limit", 1, MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE)

    def cursor(self, kind: type[T]) -> T | None:
        """The position after which the page begins, as encoded by `encode_cursor`."""
        value = self._parameters.get("after")
        if value is None:
            return None
        try:
            return msgspec.json.decode(urlsafe_b64decode(value.encode()), type=kind)
        except (*UNREADABLE, binascii.Error, ValueError) as error:
            raise invalid("after", value[:MAX_TEXT_LENGTH], "what the `next` of an earlier answer says") from error


def encode_cursor(value: object) -> str:
    """Encode a position for `Query.cursor`."""
    return urlsafe_b64encode(msgspec.json.encode(value)).decode()


def invalid(name: str, value: str, allowed: str) -> Problem:
    """The problem of an invalid parameter."""
    return Problem(HTTPStatus.BAD_REQUEST, f"{name} = {value!r}: allowed is {allowed}")
