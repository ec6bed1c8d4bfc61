"""Liveness (`/healthz`) and readiness (`/readyz`)."""

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from processors.board.state.store import Store
from processors.board.web.access import caller_of
from processors.core.time.instants import rfc3339
from processors.read_model.follower import FollowerStatus


class Health:
    """The handlers."""

    def __init__(self, store: Store, status: FollowerStatus, is_ready: Callable[[], bool]) -> None:
        self._store = store
        self._status = status
        self._is_ready = is_ready

    def routes(self) -> list[web.RouteDef]:
        """The routes of the handlers."""
        return [web.get("/healthz", self.healthz), web.get("/readyz", self.readyz)]

    async def healthz(self, _request: web.Request) -> web.Response:
        """Answers while the event loop runs."""
        return web.json_response({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """200 once the numbers are loaded and rendered, and from then on, even while Redis is away.

        The reason why Redis is away contains its address, so only callers who may read see it.
        """
        status = HTTPStatus.OK if self._is_ready() else HTTPStatus.SERVICE_UNAVAILABLE
        return web.json_response(self.state(reasons="read" in caller_of(request).may), status=status)

    def state(self, *, reasons: bool) -> dict[str, object]:
        """The body of `/readyz`."""
        since_us, stale_us = self._status.down_since_us, self._status.stale_since_us
        return {
            "status": "ready" if self._is_ready() else "loading",
            "redis": {
                "up": since_us is None,
                "down_since": None if since_us is None else rfc3339(since_us),
                "reason": self._status.why_down if reasons else None,
            },
            "read_model": {
                "stale_since": None if stale_us is None else rfc3339(stale_us),
                "reason": self._status.why_stale if reasons else None,
                "emptied": self._status.emptied,
                "partitions": len(self._store.partitions),
            },
        }
