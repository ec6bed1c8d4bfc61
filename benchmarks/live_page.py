"""The live page at 1,000 reps and 10,000 open requests: time of a page, size of an update, and the event loop's stalls.

The board runs in this process on a real Redis, filled through the worker's own sink; the browser's side is another
process that reads pages and server-sent events as a browser does. A stall is the longest that one callback of the event
loop took, in CPU time of the loop's thread.
"""

import asyncio
import gc
import json
import random
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.exposition import PARTITION, POLL_SECONDS, SEED, Stalls, World, running_board, scrape, until
from benchmarks.machine import described
from config.board_settings import BoardSettings
from config.clock import Clock
from config.settings import RedisSettings, Settings
from processors.board.app import EXPOSITION, FOLLOWER, STORE
from processors.board.main import GC_THRESHOLDS
from processors.core.time.instants import DAY_US, HOUR_US
from processors.dev.redis_server import embedded_redis
from processors.read_model.redis_connection import connect
from processors.read_model.writer import ReadModelWriter
from schemas.views import Changes, OpenRequest, open_field

VIEWS = {"waiting": "/", "leaderboards": "/leaderboards", "rep": "/reps/rep-00001", "funnel": "/funnel?team=team-1"}
OPEN_PARTITION = "crm.events/1"
CHANGED_REPS = 0.01
CHANGED_REQUESTS = 10
DAYS = 10


class Viewed(msgspec.Struct, frozen=True):
    """One view. Sizes in KiB; the page is compressed, updates are not."""

    view: str
    page_seconds: float
    page_kib: float
    updates: int
    update_kib: float
    """The mean of the updates."""
    stall_seconds: float


class Requests:
    """The open requests, of which some come and go."""

    def __init__(self, model: ReadModelWriter, count: int, reps: int, now_us: int) -> None:
        self._model = model
        self._count = count
        self._reps = reps
        self._now_us = now_us
        self._dice = random.Random(SEED)
        self._offset = 0

    async def fill(self) -> int:
        """Publish all of them."""
        return await self._publish(range(self._count), whole=True)

    async def change(self) -> int:
        """Some are answered, and as many begin."""
        return await self._publish(self._dice.sample(range(self._count), CHANGED_REQUESTS), whole=False)

    async def _publish(self, numbers: "range | list[int]", *, whole: bool) -> int:
        self._offset += 1
        fields = {open_field(f"c-{n}", f"r-{n}"): msgspec.msgpack.encode(self._request(n)) for n in numbers}
        await self._model.publish(OPEN_PARTITION, self._offset, Changes({"open": fields}, {}), whole)
        return self._offset

    def _request(self, number: int) -> OpenRequest:
        opened_us = self._now_us - self._dice.randrange(48 * HOUR_US)
        due = {"1h": opened_us + HOUR_US, "24h": opened_us + 24 * HOUR_US}
        rep = f"rep-{number % self._reps:05d}"
        return OpenRequest(f"r-{number}", 1, f"c-{number}", rep, "email", "normal", opened_us, due)


def watch(url: str, seconds: float) -> list[int]:
    """The bytes of every update that a browser is sent within some seconds, after the first whole view."""
    sizes: list[int] = []
    deadline = time.monotonic() + seconds
    with urllib.request.urlopen(url, timeout=seconds + 30) as stream:  # noqa: S310 - our own board
        for line in stream:
            if line.startswith(b"data: {"):
                sizes.append(len(line))
            if time.monotonic() > deadline:
                return sizes[1:]
    return sizes[1:]


Change = Callable[[], Awaitable[None]]


async def look(base: str, name: str, stalls: Stalls, elsewhere: Executor, change: Change, seconds: float) -> Viewed:
    """Read a page, then watch it for some seconds while the numbers change once a second."""
    loop, path = asyncio.get_running_loop(), VIEWS[name]
    await loop.run_in_executor(elsewhere, scrape, base + path)
    stalls.take()
    page_seconds, size = await loop.run_in_executor(elsewhere, scrape, base + path)
    query = "?rep=rep-00001" if name == "rep" else path[path.find("?") :] if "?" in path else ""
    watching = loop.run_in_executor(elsewhere, watch, f"{base}/live/{name}{query}", seconds)
    while not watching.done():
        await change()
        await asyncio.wait([watching], timeout=1)
    sizes = await watching
    mean = sum(sizes) / len(sizes) / 1024 if sizes else 0.0
    return Viewed(name, page_seconds, size / 1024, len(sizes), mean, stalls.take())


async def measure(settings: Settings, reps: int, requests: int, seconds: float) -> list[Viewed]:
    """Every view in turn. Publishes from a thread with an event loop of its own, as a worker would from its process."""
    loop, runner, connection = asyncio.get_running_loop(), asyncio.Runner(), connect(settings.redis)
    model, now_us = ReadModelWriter(connection, settings.redis.prefix), Clock(settings.clock).now_us()
    world, waits = World(model, reps, DAYS, now_us // DAY_US), Requests(model, requests, reps, now_us)
    stalls = Stalls()
    gc.set_threshold(*GC_THRESHOLDS)
    with ThreadPoolExecutor(1) as thread, ProcessPoolExecutor(1) as elsewhere, stalls.watched():

        async def change() -> None:
            await loop.run_in_executor(thread, runner.run, world.change(max(CHANGED_REPS, 1 / reps)))
            await loop.run_in_executor(thread, runner.run, waits.change())

        try:
            await loop.run_in_executor(thread, runner.run, world.fill())
            await loop.run_in_executor(thread, runner.run, waits.fill())
            async with running_board(settings) as (app, url):
                await until(lambda: app[FOLLOWER].status.loaded and app[EXPOSITION].is_complete)
                await until(lambda: {PARTITION, OPEN_PARTITION} <= app[STORE].partitions.keys())
                await asyncio.sleep(POLL_SECONDS)
                base = url.removesuffix("/metrics")
                return [await look(base, name, stalls, elsewhere, change, seconds) for name in VIEWS]
        finally:
            await loop.run_in_executor(thread, runner.run, connection.close())
            await loop.run_in_executor(thread, runner.close)


@click.command()
@click.option("--reps", default=1000, show_default=True)
@click.option("--requests", default=10_000, show_default=True, help="open requests")
@click.option("--seconds", default=15.0, show_default=True, help="for which each view is watched")
@click.option("--json", "as_json", is_flag=True, help="figures for programs")
def main(reps: int, requests: int, seconds: float, as_json: bool) -> None:
    """Seconds of a page, KiB of an update, and the board's longest stall, for each view."""
    with tempfile.TemporaryDirectory() as directory, embedded_redis(Path(directory)) as redis:
        settings = Settings(redis=RedisSettings(url=redis.url), board=BoardSettings(port=0))
        found = asyncio.run(measure(settings, reps, requests, seconds))
    if as_json:
        click.echo(json.dumps({"machine": described(), "views": msgspec.to_builtins(found)}))
        return
    title = f"live page, {reps:,} reps, {requests:,} open requests, 1 % of the reps changing every second"
    table = Table("view", "page, ms", "page, KiB", "updates", "update, KiB", "longest stall, ms", title=title)
    for row in found:
        times = (f"{one * 1000:.0f}" for one in (row.page_seconds, row.stall_seconds))
        page, stall = times
        table.add_row(row.view, page, f"{row.page_kib:.1f}", str(row.updates), f"{row.update_kib:.1f}", stall)
    Console(width=120).print(table, described())


if __name__ == "__main__":
    main()
