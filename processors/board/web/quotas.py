"""Limits how many long-lived uses (streams, large responses) one client, and all clients, may have at a time."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from aiohttp import web

from processors.board.web.access import caller_of
from processors.board.web.problems import Problem

RETRY_SECONDS = 10

Client = tuple[str, str]
"""`("name", user)` for a signed-in user, else `("address", IP)`."""


class Quota:
    """Counts the uses of one thing by client."""

    def __init__(self, thing: str, total: int, per_client: int) -> None:
        """`thing`: a plural noun for error messages."""
        self._thing = thing
        self._total = total
        self._per_client = per_client
        self._uses: Counter[Client] = Counter()

    @contextmanager
    def use(self, request: web.Request) -> Iterator[None]:
        """Count one use during a block. Raises Problem: 429 for a client with too many, 503 if none is left."""
        client = client_of(request)
        if self._uses[client] >= self._per_client:
            detail = f"{self._per_client} {self._thing} of yours are open already: close some"
            raise _exhausted(HTTPStatus.TOO_MANY_REQUESTS, detail)
        if self._uses.total() >= self._total:
            raise _exhausted(HTTPStatus.SERVICE_UNAVAILABLE, f"{self._total} {self._thing} are open already")
        self._uses[client] += 1
        try:
            yield
        finally:
            self._uses[client] -= 1
            self._uses += Counter()  # drops clients with no uses


def client_of(request: web.Request) -> Client:
    """The client to count: users behind one proxy are distinguished by name."""
    name = caller_of(request).name
    return ("name", name) if name is not None else ("address", request.remote or "")


def _exhausted(status: HTTPStatus, detail: str) -> Problem:
    return Problem(status, detail, {"Retry-After": str(RETRY_SECONDS)})
