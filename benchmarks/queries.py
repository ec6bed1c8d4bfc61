"""How long the queries of Grafana's boards take with many reps: a real Prometheus on a day of samples.

The series are those of a real board, scraped once; their samples, and those of the recording rules, are written into
the database for the past day every 15 s, as far as a line of a board covers them, and for the last minutes otherwise.
Lines are asked for 24 h in 720 steps, as Grafana does for a panel of half a screen; the rest at one instant. Processor
time is that of Prometheus: on a machine that does nothing else, an answer takes about as long.
"""

import asyncio
import json
import re
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
import psutil
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.exposition import World, running_board
from benchmarks.machine import described
from config.board_settings import BoardSettings
from config.clock import Clock
from config.prometheus import native
from config.settings import RedisSettings, Settings
from grafana.build import files
from processors.core.time.instants import DAY_US
from processors.dev.metrics_page import get
from processors.dev.process import LOOPBACK, ChildProcess, free_port
from processors.dev.redis_server import embedded_redis
from processors.read_model.redis_connection import connect
from processors.read_model.writer import ReadModelWriter

Json = dict[str, Any]
DAY_SECONDS, STEP_SECONDS, SCRAPE_SECONDS = 86_400, 120, 15
RECENT_SECONDS = 240
"""Series that no line covers have samples for so long: an instant looks back 5 minutes."""
READY_SECONDS = 120.0
CHOSEN = {
    "$team": ".*",
    "$rep": "rep-00001",
    "$pipeline": "default",
    "$opportunity_window": "30d",
    "$__rate_interval": "1m",
    "$__range": "1d",
}
_ANSWERED = re.compile(r'^crm_responses\{[^}]*window="30d"\} [1-9]', re.MULTILINE)
"""A rep whose numbers the board has: all have answered something."""
WINDOW = {"team": "today", "sla": "today"}
"""What boards begin with; the others with 30d."""


class Timed(msgspec.Struct, frozen=True):
    """One query."""

    board: str
    panel: str
    letter: str
    is_range: bool
    series: int
    milliseconds: float
    """By the clock on the wall, the shortest of all tries."""
    cpu_milliseconds: float
    """Processor time of Prometheus, the mean of all tries."""


class Target(msgspec.Struct, frozen=True):
    """A query of a board as Grafana sends it."""

    board: str
    panel: str
    letter: str
    is_range: bool
    expr: str


def targets() -> list[Target]:
    """All queries of the boards, with what somebody chose."""
    boards = {path.stem: json.loads(text) for path, text in files().items() if path.parent.name == "en"}
    return [
        Target(key, panel["title"], target["refId"], bool(target.get("range")), _filled(target["expr"], key))
        for key, board in boards.items()
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]


def _filled(expression: str, board: str) -> str:
    for name, value in (CHOSEN | {"$window": WINDOW.get(board, "30d")}).items():
        expression = expression.replace(name, value)
    return expression


def selectors(expressions: Iterable[str]) -> set[str]:
    """The selectors in some queries, without ranges: `name{matchers}`."""
    return {
        name + matchers
        for expression in expressions
        for name, matchers in re.findall(r"\b((?:crm|team)\w*(?::\w+)*)(\{[^}]*\})", expression)
    }


class Database:
    """A Prometheus without targets on a database that is written from outside."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.end = int(time.time())
        self._base = ""

    def write(self, series: Mapping[str, float], seconds: int) -> None:
        """Samples of series every 15 s, for so long before the end. Raises CalledProcessError."""
        moments = range(self.end - seconds, self.end + 1, SCRAPE_SECONDS)
        path = self._folder / "samples.txt"
        with path.open("w", encoding="utf-8") as file:
            for name, value in sorted(series.items()):
                file.writelines(f"{name} {value} {moment}\n" for moment in moments)
            file.write("# EOF\n")
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(path), str(self._folder / "data")]
        subprocess.run(command, check=True, capture_output=True)

    @contextmanager
    def running(self) -> Iterator[psutil.Process]:
        """Answers queries for the length of a block: its process."""
        port = free_port()
        (self._folder / "prometheus.yml").write_text("{}", encoding="utf-8")
        command = [
            "prometheus",
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ]
        self._base = f"http://{LOOPBACK}:{port}/api/v1"
        with ChildProcess("Prometheus", command, self._folder / "log") as process:
            process.wait_ready(lambda: get(port, "/-/ready") is not None, READY_SECONDS)
            yield psutil.Process(process.pid)

    def ask(self, expression: str, *, is_range: bool = False) -> list[Json]:
        """The series that a query finds."""
        asked: dict[str, object] = {"query": expression}
        asked |= (
            {"start": self.end - DAY_SECONDS, "end": self.end, "step": STEP_SECONDS} if is_range else {"time": self.end}
        )
        data = urllib.parse.urlencode(asked).encode()
        address = f"{self._base}/query{'_range' if is_range else ''}"
        with urllib.request.urlopen(address, data) as answer:  # noqa: S310 - our own Prometheus
            result: list[Json] = json.load(answer)["data"]["result"]
        return result


async def exposition(settings: Settings, reps: int, days: int) -> str:
    """What a board with so many reps exports. Raises TimeoutError."""
    connection = connect(settings.redis)
    today = Clock(settings.clock).now_us() // DAY_US
    try:
        async with running_board(settings) as (_, url), asyncio.timeout(READY_SECONDS):
            await World(ReadModelWriter(connection, settings.redis.prefix), reps, days, today).fill()
            text = ""
            while len(_ANSWERED.findall(text)) < reps:
                text = await asyncio.to_thread(_page, url)
            return text
    finally:
        await connection.close()


def _page(url: str) -> str:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - our own board
        return str(answer.read().decode())


def samples(text: str) -> dict[str, float]:
    """Series of the business by name and labels, as they are written."""
    lines = (line.rpartition(" ") for line in text.splitlines() if line.startswith("crm_"))
    return {series: float(value) for series, _, value in lines}


def recorded() -> dict[str, str]:
    """The expressions of recording rules over the business, by name."""
    rules = yaml.safe_load((native.HERE / "rules" / "recording.yml").read_text(encoding="utf-8"))
    return {rule["record"]: rule["expr"] for group in rules["groups"] for rule in group["rules"]}


def _written(answer: Iterable[Json], name: str) -> dict[str, float]:
    """Series of an answer as they are written, under a name of their own or another one."""
    found = {}
    for one in answer:
        labels = ",".join(f"{key}={json.dumps(value)}" for key, value in one["metric"].items() if key != "__name__")
        found[f"{one['metric'].get('__name__', name)}{{{labels}}}"] = float(one["value"][1])
    return found


def fill(database: Database, text: str, wanted: list[Target]) -> int:
    """Write the samples; the number of series of the board."""
    every = samples(text)
    database.write(every, RECENT_SECONDS)
    with database.running():
        lately = [_written(database.ask(expr), name) for name, expr in recorded().items()]
    database.write({series: value for found in lately for series, value in found.items()}, RECENT_SECONDS)
    with database.running():
        covered = selectors(target.expr for target in wanted if target.is_range)
        long = [_written(database.ask(selector), "") for selector in covered]
    database.write({series: value for found in long for series, value in found.items()}, DAY_SECONDS)
    return len(every)


def measure(database: Database, wanted: list[Target], tries: int) -> list[Timed]:
    """Every query so many times after a first one that does not count, the slowest first."""
    with database.running() as prometheus:
        found = [_timed(database, target, prometheus, tries) for target in wanted]
    return sorted(found, key=lambda one: -one.cpu_milliseconds)


def _timed(database: Database, target: Target, prometheus: psutil.Process, tries: int) -> Timed:
    series = len(database.ask(target.expr, is_range=target.is_range))
    shortest, before = float("inf"), _cpu_seconds(prometheus)
    for _ in range(tries):
        started = time.perf_counter()
        database.ask(target.expr, is_range=target.is_range)
        shortest = min(shortest, time.perf_counter() - started)
    cpu = (_cpu_seconds(prometheus) - before) / tries
    return Timed(target.board, target.panel, target.letter, target.is_range, series, shortest * 1000, cpu * 1000)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def run(reps: int, days: int, tries: int) -> tuple[int, list[Timed]]:
    """Series of the board, and the times of all queries that are about the business."""
    wanted = [target for target in targets() if selectors([target.expr])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with embedded_redis(folder) as redis:
            settings = Settings(redis=RedisSettings(url=redis.url), board=BoardSettings(port=0))
            text = asyncio.run(exposition(settings, reps, days))
        database = Database(folder)
        return fill(database, text, wanted), measure(database, wanted, tries)


@click.command()
@click.option("--reps", default=1000, show_default=True)
@click.option("--days", default=10, show_default=True, help="days on which every rep has numbers")
@click.option("--tries", default=5, show_default=True, help="so many, after one that does not count")
@click.option("--json", "as_json", is_flag=True, help="figures for programs")
def main(reps: int, days: int, tries: int, as_json: bool) -> None:
    """Time of every query of the boards about the business, the slowest first."""
    series, found = run(reps, days, tries)
    if as_json:
        click.echo(json.dumps({"machine": described(), "series": series, "queries": msgspec.to_builtins(found)}))
        return
    table = Table(
        "board", "panel", "", "over", "series", "ms", "CPU ms", title=f"queries with {reps:,} reps, {series:,} series"
    )
    for one in found:
        over = "24 h" if one.is_range else "now"
        table.add_row(
            one.board,
            one.panel,
            one.letter,
            over,
            str(one.series),
            f"{one.milliseconds:.0f}",
            f"{one.cpu_milliseconds:.0f}",
        )
    Console().print(table, described())


if __name__ == "__main__":
    main()
