"""`salespulse board`: serves the board until a signal stops it."""

import asyncio
import gc
import logging

from aiohttp import web

from config.board_settings import BoardSettings, is_loopback
from config.clock import Clock
from config.load_policy import load_policy
from config.policy_reload import PolicyReload
from config.settings import Settings
from processors.board.app import BACKGROUND, build_board
from processors.board.web.board_site import board_site
from processors.read_model.redis_probe import warn_of_cluster
from processors.service import Service
from processors.web.connections import ConnectionLimits
from schemas.errors import Unavailable
from schemas.policy import Policy

logger = logging.getLogger(__name__)

GC_THRESHOLDS = (100_000, 20, 1000)
"""The state is large and has no reference cycles: collecting it blocks the event loop and frees nothing."""
SHUTDOWN_TIMEOUT_SECONDS = 5.0
"""How long responses in progress may still take."""


def run_board(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code: 0 after a signal. SIGHUP reloads the policy.

    Raises ConfigError for an invalid policy and for a board that is open to a network by accident, Unavailable if the
    port cannot be used. Redis may be away at any time.
    """
    service = Service(settings)
    gc.set_threshold(*GC_THRESHOLDS)
    policy, clock = load_policy(settings.policy.path), Clock(settings.clock)
    reload = PolicyReload(settings.policy.path, policy, clock.now_us, service.restart)
    return service.run(lambda: _run(settings, clock, policy, service.stop), reload)


async def _run(settings: Settings, clock: Clock, policy: Policy, stop: asyncio.Event) -> int:
    app = build_board(settings, clock, policy)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_TIMEOUT_SECONDS)
    await runner.setup()
    try:
        await _listen(runner, settings.board)
        async with asyncio.TaskGroup() as tasks:
            warning = tasks.create_task(warn_of_cluster(settings.redis))
            code = await _wait(stop, app)
            warning.cancel()
        return code
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, board: BoardSettings) -> None:
    try:
        await board_site(runner, board, ConnectionLimits()).start()
    except OSError as error:
        address = f"{board.host}:{board.port}"
        raise Unavailable(f"board.port: {address} cannot be used ({error.strerror}): choose another") from error
    port = runner.addresses[0][1]
    if board.anonymous in ("read", "write") and not is_loopback(board.host):
        logger.warning(
            "everybody who reaches %s:%d may %s without signing in (board.anonymous)", board.host, port, board.anonymous
        )
    logger.info("the board is at http://%s:%d/", board.host, port)


async def _wait(stop: asyncio.Event, app: web.Application) -> int:
    """Wait for the signal, or for a task that fails."""
    stopping, failing = asyncio.create_task(stop.wait()), asyncio.create_task(app[BACKGROUND].failed())
    done, pending = await asyncio.wait([stopping, failing], return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    if failing in done:
        logger.error("stopped by a failure", exc_info=failing.result())
        return 1
    logger.info("stopped")
    return 0
