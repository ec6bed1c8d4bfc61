"""The board's port. What is not even HTTP is answered as everything else is, and never logged: it may hold a token."""

import asyncio
import logging
from http import HTTPStatus

from aiohttp import web

from processors.board.problems import problem_response
from processors.board.security import guard

logger = logging.getLogger(__name__)


class Protocol(web.RequestHandler):
    """A connection."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- it quotes what was sent
    ) -> web.StreamResponse:
        """The answer to what could not be read (400), or to a failure outside of all handlers (500)."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("%s failed", request.method, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of the answer was sent already")
        known = HTTPStatus(status)
        detail = "this cannot be read as a request" if known < HTTPStatus.INTERNAL_SERVER_ERROR else known.description
        response = problem_response(known, detail, "")
        guard(response)
        response.force_close()
        return response


class Site(web.TCPSite):
    """A port with these connections."""

    __slots__ = ()

    async def start(self) -> None:
        """Listen; raises OSError."""
        await web.BaseSite.start(self)
        server, loop = self._runner.server, asyncio.get_running_loop()
        if server is None:
            raise RuntimeError("the runner is to be set up first")

        def protocol() -> Protocol:
            return Protocol(server, loop=loop, access_log=None)  # type: ignore[arg-type]  # as AppRunner takes it

        self._server = await loop.create_server(protocol, self._host, self._port, backlog=self._backlog)
