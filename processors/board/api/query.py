"""Query parameters, each checked: a wrong one is told with what is allowed, and never passed over."""

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

LARGEST_PAGE = 500
USUAL_PAGE = 100
LONGEST_WORD = 128
MOST_DIGITS = 20


class Query:
    """The parameters of one request, of which every one must be among the known ones, and there once."""

    def __init__(self, parameters: MultiMapping[str], known: Collection[str]) -> None:
        for name in parameters:
            if name not in known:
                raise wrong(
                    name[:LONGEST_WORD],
                    parameters[name][:LONGEST_WORD],
                    f"one of the parameters {', '.join(sorted(known))}",
                )
            if len(parameters.getall(name)) > 1:
                raise wrong(name, parameters[name][:LONGEST_WORD], "one value")
        self._parameters: Mapping[str, str] = parameters

    def word(self, name: str) -> str | None:
        """A free word."""
        value = self._parameters.get(name)
        if value is not None and not 1 <= len(value) <= LONGEST_WORD:
            raise wrong(name, value[:LONGEST_WORD], f"1 to {LONGEST_WORD} characters")
        return value

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """One of some words."""
        value = self._parameters.get(name)
        if value is not None and value not in allowed:
            raise wrong(name, value[:LONGEST_WORD], "one of " + ", ".join(allowed))
        return value

    def number(self, name: str, lowest: int, highest: int, usual: int) -> int:
        """A whole number."""
        value = self._parameters.get(name)
        if value is None:
            return usual
        is_number = value.isascii() and value.isdigit() and len(value) <= MOST_DIGITS
        if not is_number or not lowest <= int(value) <= highest:
            raise wrong(name, value[:LONGEST_WORD], f"a whole number from {lowest} to {highest}")
        return int(value)

    def limit(self) -> int:
        """How many items a page has."""
        return self.number("limit", 1, LARGEST_PAGE, USUAL_PAGE)

    def after(self, kind: type[T]) -> T | None:
        """The place after which a page begins, as an earlier answer's `next` named it."""
        value = self._parameters.get("after")
        if value is None:
            return None
        try:
            return msgspec.json.decode(urlsafe_b64decode(value.encode()), type=kind)
        except (*UNREADABLE, binascii.Error, ValueError) as error:
            raise wrong("after", value[:LONGEST_WORD], "what the `next` of an earlier answer says") from error


def place(value: object) -> str:
    """What `Query.after` reads."""
    return urlsafe_b64encode(msgspec.json.encode(value)).decode()


def wrong(name: str, value: str, allowed: str) -> Problem:
    """The problem of a parameter."""
    return Problem(HTTPStatus.BAD_REQUEST, f"{name} = {value!r}: allowed is {allowed}")
