"""JSON answers with an ETag: who asks again gets 304 unless something changed that matters."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import msgspec
from aiohttp import web

from processors.board.problems import Handler, Problem
from processors.board.store import Store
from processors.core.instants import rfc3339
from processors.read_model.follower import FollowerStatus

T = TypeVar("T")

_encode = msgspec.json.Encoder(decimal_format="string").encode


class Source(NamedTuple):
    """The numbers, and how fresh they are."""

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

    def known(self, handler: Handler) -> Handler:
        """A handler that answers once the numbers were read; until then there are none, which is not zero."""

        async def once_known(request: web.Request) -> web.StreamResponse:
            if not self.status.loaded:
                why = self.status.why_down or "they are being read"
                raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, f"the numbers are not known yet: {why}")
            return await handler(request)

        return once_known


class Slice(NamedTuple):
    """Where a page is among all there is."""

    total: int
    after: str | None
    """The place where the next page begins."""


def etag_of(*parts: bytes) -> str:
    """A weak tag: equal tags mean that nothing changed but the time of asking."""
    digest = blake2b(digest_size=12)
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def answer(request: web.Request, body: msgspec.Struct, lasting: msgspec.Struct | None = None) -> web.Response:
    """A JSON answer; `lasting` is what of it decides whether it is new, by default everything but its instant."""
    tag = etag_of(_encode(msgspec.structs.replace(body, as_of="") if lasting is None else lasting))
    response = tagged(request, tag, lambda: _encode(body))
    following = getattr(body, "next", None)
    if following is not None:
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


def tagged(request: web.Request, tag: str, body: Callable[[], bytes]) -> web.Response:
    """JSON with its tag; 304 without the body for who has it already."""
    known = request.if_none_match or ()
    response = web.Response(status=HTTPStatus.NOT_MODIFIED)
    if not any(one.value in (tag, "*") for one in known):
        response = web.Response(body=body(), content_type="application/json", charset="utf-8")
    response.headers["ETag"] = f'W/"{tag}"'
    return response


def page_of(request: web.Request, items: Sequence[T], where: Slice) -> dict[str, Any]:
    """The fields of `Page`."""
    after = where.after
    following = None if after is None else str(request.rel_url.update_query({"after": after}))
    return {"total": where.total, "next": following, "items": list(items)}
