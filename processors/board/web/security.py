"""Security headers for every response, and protection against cross-site writes."""

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


async def on_prepare(_request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers, as an `on_response_prepare` signal."""
    add_security_headers(response)


def add_security_headers(response: web.StreamResponse) -> None:
    """Add the headers that a response does not set itself."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-cache")
    response.headers["Server"] = "salespulse"


def same_site_writes(board_url: str) -> Middleware:
    """A middleware that refuses writes which a browser sends on behalf of another site's page (CSRF).

    Browsers report the site in `Sec-Fetch-Site`. Older ones send only `Origin`, which must then match the host of the
    request or `board_url`. Programs send neither and need no protection: no page can misuse them.
    """
    own = URL(board_url).origin()

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in SAFE_METHODS and not _is_same_site(request, own):
            detail = "this was sent for a page of another site: allowed are the board's own pages, and programs"
            raise Problem(HTTPStatus.FORBIDDEN, detail)
        return await handler(request)

    return check


def _is_same_site(request: web.Request, own: URL) -> bool:
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site in ("same-origin", "none")
    return origin is None or origin == str(own) or origin.partition("://")[2] == request.host
