"""A real Prometheus scrapes the board of 10,000 reps: how long each scrape takes, whether one fails, and what it costs.

The board runs as a process of its own, filled through the worker's sink; reps go on changing all the while, each in
everything that is counted of it. Prometheus runs with its default limits and its own measure of a scrape.
"""

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import click
import msgspec

from benchmarks.exposition import World
from benchmarks.machine import cpu_seconds, described, resident_mib
from benchmarks.spread import Spread, spread
from benchmarks.stack import salespulse
from config.board_settings import BoardSettings
from config.clock import Clock
from config.settings import RedisSettings, Settings, WorkerSettings
from processors.core.time.instants import DAY_US
from processors.dev.metrics_page import get
from processors.dev.process import LOOPBACK, ChildProcess, free_port
from processors.dev.redis_server import embedded_redis
from processors.read_model.redis_connection import connect
from processors.read_model.writer import ReadModelWriter
from schemas.errors import Unavailable

READY_SECONDS = 300.0
ANSWER = "salespulse_exposition_seconds"
CONFIG = """\
global: {{scrape_interval: {interval}s, scrape_timeout: {timeout}s}}
scrape_configs:
  - job_name: board
    static_configs: [{{targets: ["{target}"]}}]
"""


class Load(msgspec.Struct, frozen=True):
    """What is scraped, how often."""

    reps: int
    days: int
    per_second: int
    """Reps that change each second."""
    interval_seconds: int
    scrapes: int


class Cost(msgspec.Struct, frozen=True):
    """What was found."""

    seconds: Spread
    """As Prometheus tells them: the answer, and taking its samples in."""
    answer_seconds: float
    """Of those, how long the board made an answer, on average."""
    failed: int
    samples: int
    board_mib: float
    board_cpu_share: float
    """Of one core, scrapes and changes together."""
    prometheus_mib: float


class Prometheus:
    """One that runs, and what it knows of its scrapes."""

    def __init__(self, port: int, process: ChildProcess) -> None:
        self.process = process
        self._port = port

    def of_scrapes(self, name: str) -> list[float]:
        """A value for each scrape so far; none before the first one. Waits while it is too busy to answer."""
        deadline = time.monotonic() + READY_SECONDS
        while (answer := get(self._port, f"/api/v1/query?query={quote(f'{name}[1h]')}")) is None:
            self.process.raise_if_ended()
            if time.monotonic() > deadline:
                raise Unavailable(f"Prometheus on port {self._port} does not answer")
        found = json.loads(answer)["data"]["result"]
        return [float(value) for _, value in found[0]["values"]] if found else []


@contextmanager
def prometheus(directory: Path, target: str, interval_seconds: int) -> Iterator[Prometheus]:
    """Run one for the length of a block; raises Unavailable when it is not on PATH."""
    program = shutil.which("prometheus")
    if program is None:
        raise Unavailable("prometheus is not on PATH: install it (Debian: apt install prometheus)")
    directory.mkdir()
    config, port = directory / "prometheus.yml", free_port()
    timeout = min(10, interval_seconds)
    config.write_text(CONFIG.format(interval=interval_seconds, timeout=timeout, target=target), encoding="utf-8")
    options = [f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"]
    command = [program, *options, f"--web.listen-address={LOOPBACK}:{port}"]
    with ChildProcess("Prometheus", command, directory / "output.log") as process:
        process.wait_ready(lambda: get(port, "/-/ready") is not None, READY_SECONDS)
        yield Prometheus(port, process)


def measure(directory: Path, settings: Settings, load: Load) -> Cost:
    """Fill a board, let it be scraped, and let reps change meanwhile."""
    connection, port = connect(settings.redis), settings.board.port
    world = World(ReadModelWriter(connection, settings.redis.prefix), load.reps, load.days, _today(settings))
    with asyncio.Runner() as runner:
        runner.run(world.fill())
        with salespulse("board", settings, set()) as board:
            board.wait_ready(lambda: get(port, "/readyz") is not None, READY_SECONDS)
            with prometheus(directory / "prometheus", f"{LOOPBACK}:{port}", load.interval_seconds) as scraper:
                started, used = time.monotonic(), cpu_seconds(board.pid)
                while len(scraper.of_scrapes(f"{ANSWER}_sum")) < load.scrapes:
                    runner.run(world.change(min(1.0, load.per_second / load.reps)))
                    time.sleep(1.0)
                share = (cpu_seconds(board.pid) - used) / (time.monotonic() - started)
                cost = _cost(scraper, resident_mib(board.pid), share)
        runner.run(connection.close())
    return cost


def _cost(scraper: Prometheus, board_mib: float, board_cpu_share: float) -> Cost:
    return Cost(
        spread(scraper.of_scrapes("scrape_duration_seconds")),
        scraper.of_scrapes(f"{ANSWER}_sum")[-1] / scraper.of_scrapes(f"{ANSWER}_count")[-1],
        scraper.of_scrapes("up").count(0.0),
        int(max(scraper.of_scrapes("scrape_samples_scraped"))),
        board_mib,
        board_cpu_share,
        resident_mib(scraper.process.pid),
    )


def _today(settings: Settings) -> int:
    return Clock(settings.clock).now_us() // DAY_US


@click.command()
@click.option("--reps", default=10_000, show_default=True)
@click.option("--days", default=10, show_default=True, help="days on which every rep has numbers")
@click.option("--per-second", default=100, show_default=True, help="reps that change each second")
@click.option("--interval-seconds", default=15, show_default=True, help="from one scrape to the next")
@click.option("--scrapes", type=click.IntRange(min=2), default=8, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="figures for programs")
def main(reps: int, days: int, per_second: int, interval_seconds: int, scrapes: int, as_json: bool) -> None:
    """Seconds of a real Prometheus's scrapes of many reps."""
    with tempfile.TemporaryDirectory() as name, embedded_redis(Path(name)) as redis:
        settings = Settings(
            redis=RedisSettings(url=redis.url),
            board=BoardSettings(port=free_port()),
            worker=WorkerSettings(data_dir=Path(name)),
        )
        cost = measure(Path(name), settings, Load(reps, days, per_second, interval_seconds, scrapes))
    if as_json:
        click.echo(json.dumps({"machine": described(), **msgspec.to_builtins(cost)}))
        return
    seconds = cost.seconds
    click.echo(
        f"{seconds.count} scrapes of {cost.samples:,} samples, {cost.failed} failed: p50 {seconds.p50:.2f} s, "
        f"most {seconds.most:.2f} s, of which the board took {cost.answer_seconds:.2f} s\n"
        f"board {cost.board_mib:,.0f} MiB and {cost.board_cpu_share:.0%} of a core, "
        f"Prometheus {cost.prometheus_mib:,.0f} MiB\n{described()}"
    )


if __name__ == "__main__":
    main()
