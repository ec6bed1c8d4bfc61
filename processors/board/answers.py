"""JSON answers with an ETag: who asks again gets 304 unless something changed that matters."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from http import HTTPStatus

import msgspec
from aiohttp import web

_encode = msgspec.json.Encoder(decimal_format="string").encode


def etag_of(*parts: bytes) -> str:
    """A weak tag: equal tags mean that nothing changed but the time of asking."""
    digest = blake2b(digest_size=12)
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def answer(request: web.Request, body: Mapping[str, object], lasting: object) -> web.Response:
    """A JSON answer; `lasting` is what of it decides whether it is new."""
    tag = etag_of(_encode(lasting))
    known = request.if_none_match or ()
    response = web.Response(status=HTTPStatus.NOT_MODIFIED)
    if not any(one.value in (tag, "*") for one in known):
        response = web.Response(body=_encode(body), content_type="application/json", charset="utf-8")
    response.headers["ETag"] = f'W/"{tag}"'
    return response


def page(request: web.Request, items: Sequence[object], total: int, after: str | None) -> dict[str, object]:
    """What every list says: its items, how many there are on all pages, and where the next page is."""
    following = None if after is None else str(request.rel_url.update_query({"after": after}))
    return {"total": total, "next": following, "items": items}
