"""The port for metrics of a worker or a notifier, in a thread of its own, so that a busy program still answers."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from processors.web.connections import Guard, Limits, Site, nobody
from schemas.errors import Unavailable

LIMITS = Limits(connections=64, connections_per_address=16, write_seconds=15.0)
"""Few programs scrape, and answers are small."""
SHUTDOWN_TIMEOUT_SECONDS = 1.0


class MetricsPort:
    """A running server."""

    def __init__(self, registry: CollectorRegistry, limits: Limits) -> None:
        self.address = ("", 0)
        self._registry = registry
        self._limits = limits
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int) -> None:
        """Listen; raises OSError."""
        self._thread = threading.Thread(target=self._run, args=(host, port), name="metrics", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Listen no more."""
        self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread is not None:
            self._thread.join()

    def _run(self, host: str, port: int) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve(host, port))

    async def _serve(self, host: str, port: int) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/", self._metrics)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_TIMEOUT_SECONDS)
        try:
            await runner.setup()
            await Site(runner, host, port, Guard(self._limits, nobody)).start()
            self.address = runner.addresses[0][:2]
            self._started.set()
            await self._stop.wait()
        except Exception as error:  # noqa: BLE001 -- `start` raises it, in its own thread
            self._failure = error
        finally:
            self._started.set()
            await runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        response = web.Response(body=encode(self._registry), headers={"Content-Type": content_type})
        response.enable_compression()
        return response


@contextmanager
def serve_metrics(
    registry: CollectorRegistry, host: str, port: int, setting: str, limits: Limits = LIMITS
) -> Iterator[MetricsPort]:
    """Serve a registry for the length of a block; raises Unavailable, naming the setting, when the port is taken."""
    server = MetricsPort(registry, limits)
    try:
        server.start(host, port)
    except OSError as error:
        raise Unavailable(f"{setting}: {host}:{port} cannot be used ({error.strerror}): choose another") from error
    try:
        yield server
    finally:
        server.stop()
