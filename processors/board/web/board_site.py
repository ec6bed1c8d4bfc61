"""The board's port. Requests that are not valid HTTP get a problem too, and are never logged: they may hold a token."""

import logging
from http import HTTPStatus

from aiohttp import web

from config.board_settings import BoardSettings, is_proxy, networks_of
from processors.board.web.problems import problem_response
from processors.board.web.security import add_security_headers
from processors.web.connections import ConnectionGuard, ConnectionLimits, GuardedConnection, GuardedSite

logger = logging.getLogger(__name__)


class BoardConnection(GuardedConnection):
    """A connection whose protocol errors are answered as problems."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 -- it quotes the request
    ) -> web.StreamResponse:
        """Answer a request that cannot be parsed (400), or a failure outside of all handlers (500)."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("%s failed", request.method, exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("part of the answer was sent already")
        known = HTTPStatus(status)
        detail = "this cannot be read as a request" if known < HTTPStatus.INTERNAL_SERVER_ERROR else known.description
        response = problem_response(known, detail, "")
        add_security_headers(response)
        response.force_close()
        return response


def board_site(runner: web.AppRunner, board: BoardSettings, limits: ConnectionLimits) -> GuardedSite:
    """The board's port. Trusted proxies may open any number of connections: they carry those of all users."""
    networks = networks_of(board) if board.user_header is not None else ()
    return GuardedSite(
        runner,
        board.host,
        board.port,
        ConnectionGuard(limits, lambda address: is_proxy(address, networks)),
        BoardConnection,
    )
