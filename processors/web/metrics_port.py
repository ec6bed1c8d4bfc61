"""The metrics port of a worker or notifier, in a thread of its own so that it answers while the program is busy."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from processors.web.connections import ConnectionGuard, ConnectionLimits, GuardedSite, never_exempt
from schemas.errors import Unavailable

LIMITS = ConnectionLimits(connections=64, connections_per_address=16, write_seconds=15.0)
"""There are few scrapers, and responses are small."""
SHUTDOWN_TIMEOUT_SECONDS = 1.0


class MetricsPort:
    """A running server."""

    def __init__(self, registry: CollectorRegistry, limits: ConnectionLimits) -> None:
        self.address = ("", 0)
        self._registry = registry
        self._limits = limits
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self, host: str, port: int) -> None:
        """Start listening. Raises OSError."""
        self._thread = threading.Thread(target=self._run, args=(host, port), name="metrics", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Stop listening."""
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
            await GuardedSite(runner, host, port, ConnectionGuard(self._limits, never_exempt)).start()
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
    registry: CollectorRegistry, host: str, port: int, setting: str, limits: ConnectionLimits = LIMITS
) -> Iterator[MetricsPort]:
    """Serve a registry during a block. Raises Unavailable, naming the setting, if the port cannot be used."""
    server = MetricsPort(registry, limits)
    try:
        server.start(host, port)
    except OSError as error:
        raise Unavailable(f"{setting}: {host}:{port} cannot be used ({error.strerror}): choose another") from error
    try:
        yield server
    finally:
        server.stop()
