"""`/metrics` of 10,000 reps: how long a scrape takes, and how long the board's event loop is ever held up.

The board runs in this process on a real Redis, filled through the worker's own sink; scrapes come from another process.
Before each scrape some reps change, in everything that is counted of them. A stall is the longest that one callback of
the event loop took, in CPU time of the loop's thread: other processes on the machine do not count in it.
"""

import asyncio
import gc
import json
import random
import tempfile
import threading
import time
import urllib.request
from asyncio.events import Handle
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import click
import msgspec
from aiohttp import web
from rich.console import Console
from rich.table import Table

from benchmarks.machine import described
from config.board_settings import BoardSettings
from config.clock import Clock
from config.settings import RedisSettings, Settings
from processors.board.app import EXPOSITION, FOLLOWER, STORE, build_board
from processors.board.main import GC_THRESHOLDS
from processors.core.time.instants import DAY_US
from processors.dev.process import LOOPBACK
from processors.dev.redis_server import embedded_redis
from processors.read_model.redis_connection import connect
from processors.read_model.writer import ReadModelWriter
from schemas.events import RepUpdated
from schemas.policy import DEFAULT_POLICY
from schemas.views import RESPONSE_BUCKETS_SECONDS, Changes, Partial, partial_field

PARTITION = "crm.events/0"
SEED = 1
TEAM_SIZE = 20
READY_SECONDS = 300.0
POLL_SECONDS = 0.01
SHARES = [0, 1, 5, 20, 100]
KINDS = ("call", "email", "meeting", "demo")

A = TypeVar("A")
B = TypeVar("B")

Publish = Callable[[float | None], Awaitable[int]]
"""Lets a share of the reps change, None: publishes all of them for the first time; gives the offset."""


class Scraped(msgspec.Struct, frozen=True):
    """One scrape."""

    dirty_percent: int
    seconds: float
    cpu_seconds: float
    """What the board spent on it, whoever else wanted the processor."""
    mib: float
    stall_seconds: float
    """The longest callback since the reps changed."""
    backlog: int
    """Reps that it showed as they were before."""


class Found(msgspec.Struct, frozen=True):
    """What was measured."""

    samples: int
    rendered_seconds: float
    """From the read model loaded to all of it rendered."""
    scrapes: list[Scraped]


class Stalls:
    """The longest callback of this thread's event loop, in seconds of CPU, since it was last asked."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._thread = threading.get_ident()

    def take(self) -> float:
        """It, and begin anew."""
        longest, self._longest = self._longest, 0.0
        return longest

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch while the block runs. Asyncio has no other place where a callback can be timed."""
        run: Callable[[Handle], None] = vars(Handle)["_run"]

        def timed(handle: Handle) -> None:
            started = time.thread_time()
            run(handle)
            if threading.get_ident() == self._thread:
                self._longest = max(self._longest, time.thread_time() - started)

        setattr(Handle, "_run", timed)  # noqa: B010 - to a type checker, a method cannot be set
        try:
            yield
        finally:
            setattr(Handle, "_run", run)  # noqa: B010


class World:
    """The read model of many reps."""

    def __init__(self, model: ReadModelWriter, reps: int, days: int, today: int) -> None:
        self._model = model
        self._reps = reps
        self._days = [today - day for day in range(days)]
        self._dice = random.Random(SEED)
        self._offset = 0

    async def fill(self) -> int:
        """Publish everything; the offset of this publication."""
        entries = [
            (RepUpdated(rep_id=_rep(n), name=f"Rep {n}", team=f"team-{n // TEAM_SIZE}"), n) for n in range(self._reps)
        ]
        await self._model.put_reps(entries)
        return await self._publish(range(self._reps), self._days, whole=True)

    async def change(self, share: float) -> int:
        """Let so many of the reps have done something today; the offset of this publication."""
        chosen = self._dice.sample(range(self._reps), int(self._reps * share))
        return await self._publish(chosen, self._days[:1], whole=False)

    async def _publish(self, reps: Iterable[int], days: list[int], *, whole: bool) -> int:
        self._offset += 1
        fields = {
            partial_field("rep", _rep(number), day): msgspec.msgpack.encode(some_partial(self._dice))
            for number in reps
            for day in days
        }
        await self._model.publish(PARTITION, self._offset, Changes({"partials": fields}, {}), whole)
        return self._offset


def some_partial(dice: random.Random) -> Partial:
    """A day of a rep."""
    stages = DEFAULT_POLICY.pipelines["default"]
    answered = dice.randrange(1, 20)
    return Partial(
        activities={kind: dice.randrange(1, 30) for kind in KINDS},
        recontactable_customers=dice.randrange(5),
        responses=answered,
        customers_answered=answered,
        response_us=answered * dice.randrange(10**9, 10**10),
        response_buckets=[dice.randrange(4) for _ in range(len(RESPONSE_BUCKETS_SECONDS) + 1)],
        answered_within={"1h": answered // 2, "24h": answered},
        opportunities_created=dice.randrange(5),
        won=dice.randrange(3),
        lost=dice.randrange(3),
        won_cents=dice.randrange(10**7),
        stages={"default": {stage: sorted((dice.randrange(1, 9) for _ in range(3)), reverse=True) for stage in stages}},
    )


def _rep(number: int) -> str:
    return f"rep-{number:05d}"


def scrape(url: str) -> tuple[float, int]:
    """Seconds and bytes of one scrape, compressed as Prometheus asks for it."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})  # noqa: S310 - our own board
    started = time.perf_counter()
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - our own board
        size = len(answer.read())
    return time.perf_counter() - started, size


@asynccontextmanager
async def running_board(settings: Settings) -> AsyncIterator[tuple[web.Application, str]]:
    """The board in this process, and where its metrics are."""
    app = build_board(settings, Clock(settings.clock), DEFAULT_POLICY)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, LOOPBACK, 0).start()
        yield app, f"http://{LOOPBACK}:{runner.addresses[0][1]}/metrics"
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], bool]) -> float:
    """The seconds until something holds; raises TimeoutError."""
    started = time.monotonic()
    async with asyncio.timeout(READY_SECONDS):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - started


def _has(app: web.Application, offset: int) -> bool:
    known = app[STORE].partitions.get(PARTITION)
    return known is not None and known.offset >= offset


async def measure(settings: Settings, publish: Publish, rest_seconds: float) -> Found:
    """A scrape some time after each change of so many percent of the reps."""
    stalls, scrapes = Stalls(), []
    gc.set_threshold(*GC_THRESHOLDS)
    await publish(None)
    with ProcessPoolExecutor(1, get_context("spawn")) as elsewhere, stalls.watched():
        await _elsewhere(elsewhere, abs, 0)  # a process that is there already
        async with running_board(settings) as (app, url):
            await until(lambda: app[FOLLOWER].status.loaded)
            rendered_seconds = await until(lambda: app[EXPOSITION].is_complete)
            for share in SHARES:
                stalls.take()
                offset = await publish(share / 100)
                await until(partial(_has, app, offset))
                await asyncio.sleep(rest_seconds)
                used = time.process_time()
                seconds, size = await _elsewhere(elsewhere, scrape, url)
                used = time.process_time() - used
                scrapes.append(Scraped(share, seconds, used, size / 2**20, stalls.take(), app[EXPOSITION].backlog))
            return Found(app[EXPOSITION].samples, rendered_seconds, scrapes)


async def _elsewhere(process: Executor, function: Callable[[A], B], argument: A) -> B:
    return await asyncio.get_running_loop().run_in_executor(process, function, argument)


async def _run(settings: Settings, reps: int, days: int, rest_seconds: float) -> Found:
    """Publishes from a thread with an event loop of its own, as a worker would from its process."""
    loop, runner, connection = asyncio.get_running_loop(), asyncio.Runner(), connect(settings.redis)
    today = Clock(settings.clock).now_us() // DAY_US
    world = World(ReadModelWriter(connection, settings.redis.prefix), reps, days, today)
    with ThreadPoolExecutor(1) as thread:

        async def publish(share: float | None) -> int:
            work = world.fill() if share is None else world.change(share)
            return await loop.run_in_executor(thread, runner.run, work)

        try:
            return await measure(settings, publish, rest_seconds)
        finally:
            await loop.run_in_executor(thread, runner.run, connection.close())
            await loop.run_in_executor(thread, runner.close)


@click.command()
@click.option("--reps", default=10_000, show_default=True)
@click.option("--days", default=10, show_default=True, help="days on which every rep has numbers")
@click.option("--rest-seconds", default=3.0, show_default=True, help="from a change to the scrape after it")
@click.option("--json", "as_json", is_flag=True, help="figures for programs")
def main(reps: int, days: int, rest_seconds: float, as_json: bool) -> None:
    """Seconds for a scrape of many reps, and the board's longest stall."""
    with tempfile.TemporaryDirectory() as directory, embedded_redis(Path(directory)) as redis:
        settings = Settings(redis=RedisSettings(url=redis.url), board=BoardSettings(port=0))
        found = asyncio.run(_run(settings, reps, days, rest_seconds))
    if as_json:
        click.echo(json.dumps({"machine": described(), **msgspec.to_builtins(found)}))
        return
    title = f"/metrics of {reps:,} reps, {found.samples:,} samples, rendered at first in {found.rendered_seconds:.1f} s"
    table = Table("reps changed", "scrape, s", "CPU, s", "MiB", "longest stall, ms", "backlog, reps", title=title)
    for row in found.scrapes:
        stall = f"{row.stall_seconds * 1000:.1f}"
        seconds = (f"{row.seconds:.3f}", f"{row.cpu_seconds:.3f}")
        table.add_row(f"{row.dirty_percent} %", *seconds, f"{row.mib:.1f}", stall, str(row.backlog))
    Console().print(table, described())


if __name__ == "__main__":
    main()
