"""What all long-running programs share: logs, signals, the port for metrics, reloading, exit codes.

SIGTERM and SIGINT end a program in good order with exit code 0. SIGHUP is the program's own: worker and board reload
the policy by running again from the beginning, in the same process, so that no state of the old policy can linger.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

from prometheus_client import CollectorRegistry, ProcessCollector

from config.logs import configure_logs
from config.settings import Settings, exposed_files
from processors.web.metrics_port import serve_metrics

logger = logging.getLogger(__name__)


class MetricsAddress(NamedTuple):
    """Where a program serves its metrics."""

    host: str
    port: int
    setting: str
    """The setting to change if the port is taken."""


class Service:
    """A long-running program from its start to its exit code."""

    def __init__(self, settings: Settings) -> None:
        ignore_hangup()
        configure_logs(sys.stderr)
        for exposed in exposed_files(settings):
            logger.warning("%s", exposed)
        self.stop = asyncio.Event()
        """Set to end the program in good order."""
        self._restarts = False

    @cached_property
    def registry(self) -> CollectorRegistry:
        """The program's metrics, with those of its process."""
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        return registry

    def restart(self) -> None:
        """End the program in good order, and run it again from its beginning."""
        self._restarts = True
        self.stop.set()

    def run(
        self,
        program: Callable[[], Coroutine[Any, Any, int]],
        on_hangup: Callable[[], object],
        metrics: MetricsAddress | None = None,
    ) -> int:
        """Run a program that ends soon after `stop` is set; returns its exit code. Raises what the program raises.

        `on_hangup`: what SIGHUP does. Raises Unavailable if the port for metrics is taken.
        """
        with self._metrics_port(metrics):
            code = asyncio.run(self._run(program, on_hangup))
            ignore_hangup()
        if self._restarts and code == 0:
            run_again()
        return code

    def _metrics_port(self, address: MetricsAddress | None) -> AbstractContextManager[object]:
        return nullcontext() if address is None else serve_metrics(self.registry, *address)

    async def _run(self, program: Callable[[], Coroutine[Any, Any, int]], on_hangup: Callable[[], object]) -> int:
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.stop.set)
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
        return await program()


def ignore_hangup() -> None:
    """Ignore SIGHUP until a program is ready for it. By default, it would end the process."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def run_again() -> NoReturn:
    """Run this program again from its beginning, in this very process."""
    ignore_hangup()
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 -- it is our own command line


def exit_now(code: int) -> NoReturn:
    """End the process without waiting for tasks or threads that hang."""
    logging.shutdown()
    os._exit(code)


async def stop_within(stop: Coroutine[Any, Any, object], seconds: float) -> str | None:
    """Run a coroutine that stops an app; returns what went wrong, or None. It raises nothing.

    A producer without a broker hangs, and a commit that is cut off surfaces as a cancellation of the caller.
    """
    stopping = asyncio.create_task(stop)
    await asyncio.wait([stopping], timeout=seconds)
    if not stopping.done():
        return f"did not stop within {seconds:.0f} s"
    error = asyncio.CancelledError() if stopping.cancelled() else stopping.exception()
    return None if error is None else f"did not stop in good order ({error!r})"


async def cancel_other_tasks(seconds: float) -> list[str]:
    """Cancel all other tasks; returns the names of those that do not end, for which Python would wait for ever."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if not others:
        return []
    _, hanging = await asyncio.wait(others, timeout=seconds)
    return [str(task.get_coro()) for task in hanging]
