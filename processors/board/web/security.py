"""Headers of every answer: no script, frame or request of strangers, nothing inline. No writes from foreign pages."""

from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Middleware
from yarl import URL

from processors.board.web.problems import Handler, Problem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


async def secure(_request: web.Request, response: web.StreamResponse) -> None:
    """An `on_response_prepare` signal."""
    guard(response)


def guard(response: web.StreamResponse) -> None:
    """Put the headers on an answer, where it has none of its own."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers["Server"] = "salespulse"


def ours_only(board_url: str) -> Middleware:
    """A middleware that refuses writes which a browser sends for another site's page, with whatever it knows of us.

    Browsers say so in `Sec-Fetch-Site`; those that do not, name the page's site in `Origin`, which must be the one that
    was asked, or that of `board_url`. Programs send neither and need no protection: they have no user to be misused.
    """
    own = URL(board_url).origin()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in SAFE_METHODS and not _is_ours(request, own):
            detail = "this was sent for a page of another site: allowed are the board's own pages, and programs"
            raise Problem(HTTPStatus.FORBIDDEN, detail)
        return await handler(request)

    return check


def _is_ours(request: web.Request, own: URL) -> bool:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin == str(own) or origin.partition("://")[2] == request.host
