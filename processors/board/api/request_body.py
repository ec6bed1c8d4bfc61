"""Reads JSON bodies of requests."""

import asyncio
from http import HTTPStatus
from typing import TypeVar

import msgspec
from aiohttp import web

from processors.board.web.problems import Problem
from schemas.codec import UNREADABLE

T = TypeVar("T")

BODY_TIMEOUT_SECONDS = 10.0
"""A body has at most 16 KiB."""


async def read_json(request: web.Request, kind: type[T]) -> T:
    """Decode the body; an empty one counts as `{}`. Raises Problem for a wrong or a slow body."""
    raw = await _read(request)
    if raw and request.content_type != "application/json":
        detail = f"content-type {request.content_type!r}: allowed is application/json"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
    try:
        return msgspec.json.decode(raw or b"{}", type=kind)
    except UNREADABLE as error:
        raise Problem(HTTPStatus.BAD_REQUEST, f"the body is not as it should be: {error}") from error


async def _read(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await request.read()
    except TimeoutError as error:
        detail = f"the body did not come within {BODY_TIMEOUT_SECONDS:g} s"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"}) from error
