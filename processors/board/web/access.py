"""Who sends a request and what they may do: by token, by a header of a trusted reverse proxy, or anonymously.

Tokens are never logged. They are compared by digest, all of them, in constant time.
"""

import binascii
import math
from base64 import b64decode
from hmac import compare_digest
from http import HTTPStatus
from typing import NamedTuple

from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from config.board_settings import (
    ROLES,
    Role,
    Token,
    address_of,
    anonymous_role,
    digest_of,
    is_proxy,
    networks_of,
    tokens_of,
)
from config.settings import Settings
from processors.board.web.problems import Handler, Problem
from processors.board.web.security import SAFE_METHODS
from processors.board.web.sign_ins import SignIns

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
MAX_NAME_LENGTH = 128
CHALLENGES = CIMultiDict(
    [
        ("WWW-Authenticate", 'Basic realm="salespulse", charset="UTF-8"'),
        ("WWW-Authenticate", 'Bearer realm="salespulse"'),
    ]
)
"""Two headers, because Chromium reads only one challenge from each."""


class Caller(NamedTuple):
    """The sender of a request; anonymous without a name."""

    name: str | None
    may: frozenset[Role]


_KEY = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    """The sender of a request, as determined by `Access.middleware`."""
    return request[_KEY]


class Access:
    """The access rules of one board. Raises ConfigError if its settings would leave it open to a network."""

    def __init__(self, settings: Settings) -> None:
        board = settings.board
        self._tokens = tokens_of(board)
        self._anonymous = anonymous_role(board)
        self._user_header = board.user_header
        self._proxies = networks_of(board)
        self._writers = frozenset(board.writers)
        self._open_paths = OPEN_PATHS | ({"/metrics"} if board.metrics_access == "open" else frozenset())
        self._hosts = _own_hosts(settings)
        self._sign_ins = SignIns()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Determine the caller. Raises Problem if the caller may not do this."""
        needed: Role = "read" if request.method in SAFE_METHODS else "write"
        if request.path in self._open_paths and needed == "read":
            request[_KEY] = self._caller_if_any(request)
            return await handler(request)
        request[_KEY] = caller = self._caller(request)
        if needed not in caller.may:
            raise self._refused(caller, needed)
        return await handler(request)

    def _caller_if_any(self, request: web.Request) -> Caller:
        try:
            return self._caller(request)
        except Problem:
            return Caller(None, frozenset())

    def _caller(self, request: web.Request) -> Caller:
        user = self._user(request)
        if user is not None:
            writes = not self._writers.isdisjoint((user, "*"))
            return Caller(user, ROLES["write" if writes else "read"])
        credentials = request.headers.get("Authorization")
        if credentials is not None and self._tokens:
            token = self._token(credentials, request.remote or "")
            return Caller(token.name, ROLES[token.role])
        return self._anonymous_caller(request)

    def _user(self, request: web.Request) -> str | None:
        """The user that a trusted proxy has authenticated."""
        if self._user_header is None or self._user_header not in request.headers:
            return None
        if not is_proxy(request.remote or "", self._proxies):
            detail = f"{self._user_header} came from another place than board.trusted_proxies"
            raise Problem(HTTPStatus.FORBIDDEN, detail)
        names = request.headers.getall(self._user_header)
        if len(names) != 1 or not 1 <= len(names[0]) <= MAX_NAME_LENGTH or not names[0].isprintable():
            raise Problem(HTTPStatus.BAD_REQUEST, f"{self._user_header}: allowed is one name of 1 to 128 characters")
        return names[0]

    def _token(self, credentials: str, address: str) -> Token:
        digest = digest_of(_token_in(credentials))
        wait_seconds = self._sign_ins.wait_seconds(address, digest)
        if wait_seconds > 0:
            detail = f"too many sign-ins from {address} were refused: try again in {math.ceil(wait_seconds)} s"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, detail, {"Retry-After": str(math.ceil(wait_seconds))})
        found = [token for token in self._tokens if compare_digest(token.digest, digest)]
        if not found:
            self._sign_ins.failed(address)
            raise Problem(HTTPStatus.UNAUTHORIZED, "this token is not known", CHALLENGES)
        self._sign_ins.succeeded(address, digest, found[0].name, found[0].role)
        return found[0]

    def _anonymous_caller(self, request: web.Request) -> Caller:
        if self._anonymous is None:
            return Caller(None, frozenset())
        if not _is_among(request.host, self._hosts):
            detail = (
                f"host {request.host!r}: allowed are addresses, and the names in notifier.board_url and board.hosts"
            )
            raise Problem(HTTPStatus.MISDIRECTED_REQUEST, detail)
        return Caller(None, ROLES[self._anonymous])

    def _refused(self, caller: Caller, needed: Role) -> Problem:
        if caller.name is not None:
            return Problem(HTTPStatus.FORBIDDEN, f"{caller.name} may read, and not acknowledge or snooze")
        if self._tokens:
            return Problem(HTTPStatus.UNAUTHORIZED, f"to {needed}, sign in", CHALLENGES)
        if self._user_header is not None:
            return Problem(HTTPStatus.FORBIDDEN, f"to {needed}, sign in at the board's proxy")
        return Problem(HTTPStatus.FORBIDDEN, f"nobody may {needed} here: board.anonymous says so")


def _own_hosts(settings: Settings) -> frozenset[str]:
    """The host names of this board. Any other was pointed at us by somebody else (DNS rebinding)."""
    board_url = URL(settings.notifier.board_url).host or ""
    return frozenset(name.lower() for name in ("localhost", settings.board.host, board_url, *settings.board.hosts))


def _is_among(host: str, hosts: frozenset[str]) -> bool:
    """Whether a Host header is ours. IP addresses are safe: DNS rebinding needs a name."""
    try:
        name = URL.build(scheme="http", authority=host).host or ""
    except ValueError:
        return False
    return name.lower() in hosts or address_of(name) is not None


def _token_in(credentials: str) -> str:
    """The token in an Authorization header: a bearer token, or a password that a browser asked for; else empty."""
    scheme, _, rest = credentials.strip().partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            try:
                return b64decode(rest.strip(), validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return ""
    return ""
