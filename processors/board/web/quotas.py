"""How much of something that lasts (streams, answers under way) one client may have at a time, and all together."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from aiohttp import web

from processors.board.web.access import caller_of
from processors.board.web.problems import Problem

RETRY_SECONDS = 10

Client = tuple[str, str]
"""Whoever signed in, by name; else an address."""


class Quota:
    """The uses of one thing, counted by client."""

    def __init__(self, thing: str, total: int, per_client: int) -> None:
        """`thing`: in the plural, for people."""
        self._thing = thing
        self._total = total
        self._per_client = per_client
        self._uses: Counter[Client] = Counter()

    @contextmanager
    def use(self, request: web.Request) -> Iterator[None]:
        """Count one for the length of a block. Raises Problem: 429 to a client with too many, 503 if none is left."""
        client = client_of(request)
        if self._uses[client] >= self._per_client:
            detail = f"{self._per_client} {self._thing} of yours are open already: close some"
            raise _refused(HTTPStatus.TOO_MANY_REQUESTS, detail)
        if self._uses.total() >= self._total:
            raise _refused(HTTPStatus.SERVICE_UNAVAILABLE, f"{self._total} {self._thing} are open already")
        self._uses[client] += 1
        try:
            yield
        finally:
            self._uses[client] -= 1
            self._uses += Counter()  # drops clients without any


def client_of(request: web.Request) -> Client:
    """Who asks, for limits: people behind one proxy are told apart by their names."""
    name = caller_of(request).name
    return ("name", name) if name is not None else ("address", request.remote or "")


def _refused(status: HTTPStatus, detail: str) -> Problem:
    return Problem(status, detail, {"Retry-After": str(RETRY_SECONDS)})
