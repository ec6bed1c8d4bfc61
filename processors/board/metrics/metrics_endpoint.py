"""`GET /metrics`: the exposition, and the board's metrics about itself."""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import web
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from processors.board.metrics.chunks import gzipped, portions
from processors.board.metrics.exposition import Exposition
from processors.board.web.quotas import Quota
from processors.read_model.follower import FollowerStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_RENDERINGS = 2
"""Responses rendered at the same time; further ones wait. Sending is not limited by this."""
MAX_ANSWERS = 32
MAX_ANSWERS_PER_CLIENT = 4
"""Responses being sent: each holds a copy of the exposition until all is sent."""


class BoardMetrics:
    """The board's metrics about itself."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)
        self.redis_up = Gauge(
            "salespulse_redis_up", "Whether Redis answers. NaN: nothing is known yet.", registry=registry
        )
        self.silent = Gauge(
            "salespulse_read_model_silent_partitions",
            "Partitions of which nothing was published for 15 s. NaN: Redis does not answer, or did not yet.",
            registry=registry,
        )
        self.loads = Gauge(
            "salespulse_read_model_loads",
            "How often the whole read model was loaded since the start.",
            registry=registry,
        )
        self.seconds = Histogram(
            "salespulse_exposition_seconds", "Time to make the answer to a scrape.", registry=registry
        )
        self.samples = Gauge("salespulse_exposition_samples", "Series of reps in the latest answer.", registry=registry)
        self.backlog = Gauge(
            "salespulse_exposition_backlog_reps",
            "Reps that the latest answer showed as they were before their latest change.",
            registry=registry,
        )
        self.responses = Counter(
            "salespulse_board_answers_total", "Answers by route and status.", ["route", "status"], registry=registry
        )


class MetricsEndpoint:
    """Serves the exposition."""

    def __init__(self, exposition: Exposition, metrics: BoardMetrics, status: FollowerStatus) -> None:
        self._exposition = exposition
        self._metrics = metrics
        self._status = status
        self._making = asyncio.Semaphore(MAX_RENDERINGS)
        self._answers = Quota("answers", MAX_ANSWERS, MAX_ANSWERS_PER_CLIENT)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Serve everything, compressed if the client accepts gzip."""
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        with self._answers.use(request):
            return await self._send(request, await self._answer(packed=packed), packed=packed)

    async def _answer(self, *, packed: bool) -> list[bytes]:
        async with self._making:
            started = time.perf_counter()
            texts = [*await self._exposition.texts(), self._own_metrics()]
            answer = await asyncio.to_thread(gzipped, texts) if packed else texts
            self._metrics.seconds.observe(time.perf_counter() - started)
            return answer

    def _own_metrics(self) -> bytes:
        up = self._redis_up()
        self._metrics.redis_up.set(up)
        self._metrics.silent.set(len(self._status.silent) if up == 1 else math.nan)
        self._metrics.loads.set(self._status.loads)
        self._metrics.samples.set(self._exposition.samples)
        self._metrics.backlog.set(self._exposition.backlog)
        return generate_latest(self._metrics.registry)

    def _redis_up(self) -> float:
        if self._status.down_since_us is not None:
            return 0
        return 1 if self._status.loaded else math.nan

    async def _send(self, request: web.Request, texts: Sequence[bytes], *, packed: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE, "Vary": "Accept-Encoding"})
        if packed:
            response.headers["Content-Encoding"] = "gzip"
        with suppress(ConnectionResetError):  # the scraper has given up
            await self._write(request, response, texts)
        return response

    @staticmethod
    async def _write(request: web.Request, response: web.StreamResponse, texts: Sequence[bytes]) -> None:
        await response.prepare(request)
        for portion in portions(() if request.method == "HEAD" else texts):
            await response.write(portion)
            await asyncio.sleep(0)
        await response.write_eof()
