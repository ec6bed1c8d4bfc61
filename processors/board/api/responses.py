"""JSON responses with an ETag: a conditional request gets 304 unless something other than the time changed."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from processors.board.state.store import Store
from processors.board.web.problems import Handler, Problem
from processors.core.time.instants import rfc3339
from processors.read_model.follower import FollowerStatus

T = TypeVar("T")

_encode = msgspec.json.Encoder(decimal_format="string").encode


class NumbersSource(NamedTuple):
    """The store, and how fresh it is."""

    store: Store
    status: FollowerStatus

    def about(self) -> dict[str, Any]:
        """The fields of `About`."""
        since_us = self.status.stale_since_us
        return {
            "as_of": rfc3339(self.store.now_us()),
            "currency": self.store.policy.currency,
            "stale_since": None if since_us is None else rfc3339(since_us),
        }

    def when_loaded(self, handler: Handler) -> Handler:
        """Wrap a handler so that it answers 503 until the numbers are loaded: unknown is not zero."""

        async def checked(request: web.Request) -> web.StreamResponse:
            if not self.status.loaded:
                why = self.status.why_down or "they are being read"
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"the numbers are not known yet: {why}")
            return await handler(request)

        return checked


class PageBounds(NamedTuple):
    """Where a page of a list ends."""

    total: int
    """Items on all pages."""
    next_cursor: str | None
    """Position where the next page begins; None on the last page."""


def etag_of(*parts: bytes) -> str:
    """An opaque tag of the parts: equal tags mean equal parts."""
    digest = blake2b(digest_size=12)
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def json_response(request: web.Request, body: msgspec.Struct, lasting: msgspec.Struct | None = None) -> web.Response:
    """A JSON response. Its ETag is of `lasting`, by default the body without `as_of`."""
    tag = etag_of(_encode(msgspec.structs.replace(body, as_of="") if lasting is None else lasting))
    response = tagged_json(request, tag, lambda: _encode(body))
    following = getattr(body, "next", None)
    if following is not None:
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


def tagged_json(request: web.Request, tag: str, body: Callable[[], bytes]) -> web.Response:
    """A JSON response with an ETag, or 304 if the client already has it."""
    known = request.if_none_match or ()
    response = web.Response(status=HTTPStatus.NOT_MODIFIED)
    if not any(one.value in (tag, "*") for one in known):
        response = web.Response(body=body(), content_type="application/json", charset="utf-8")
    response.headers["ETag"] = f'W/"{tag}"'
    return response


def page_fields(request: web.Request, items: Sequence[T], bounds: PageBounds) -> dict[str, Any]:
    """The fields of `Page`."""
    after = bounds.next_cursor
    following = None if after is None else str(request.rel_url.update_query({"after": after}))
    return {"total": bounds.total, "next": following, "items": list(items)}
