"""A simulated team, live: broker, Redis, worker, board, notifier, Prometheus, and the oracle's word on what was sent.

The clock of the programs stands still at END, so that what the boards must show is one number and not two. Some
customers' events are there before Prometheus comes, the others' come while it scrapes: counters grow by the latter.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from zlib import crc32

import msgspec

from config.prometheus import native
from config.settings import AlertsSettings, ClockSettings, Settings, as_environment
from processors.core.time.instants import DAY_US, SECOND_US, instant_us, moment
from processors.dev.metrics_page import get
from processors.dev.process import LOOPBACK, ChildProcess, free_port
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.bulk_producer import produce
from processors.kafka.producer import producer
from processors.kafka.timed_messages import from_messages
from processors.kafka.topics import ensure_topics
from schemas.alerts import Transition
from tests.grafana.prometheus import instant, running_prometheus
from tests.grafana.queries import Json
from tests.grafana.truth import Truth
from tests.integration.stack import Worker, alert_records, board, wait_until, worker

SEED, REPS, INTENSITY = 20240301, 8, 1.2
START_US = instant_us(moment(1_709_251_200_000_000))
"""2024-03-01."""
END_US = START_US + ((31 * 24 + 15) * 60 + 30) * 60_000_000
"""A Monday afternoon: some customers wait."""
LATELY_US = 4 * DAY_US
"""Deadlines since then are told and counted; what is older is history."""
LATER_OF = 4
"""One customer in so many belongs to the later part."""
AGAIN_OF = 50
"""One event in so many is sent twice."""
BAD = {"malformed": b'{"type": "activity.logged",', "unknown_type": b'{"type":"activity.dreamt","event_id":"x"}'}
BAD_TIMES = {"malformed": 5, "unknown_type": 3}
"""How often each is sent in each part."""
BATCH_BYTES = 900_000
BEFORE, AFTER = 3, 8
"""Scrapes before the later part comes and after it was counted."""
FLOW = "salespulse_events_total"

Record = tuple[bytes, bytes]
"""Key and value."""


@dataclass
class Part:
    """What is sent at one time."""

    events: list[Record] = field(default_factory=list)
    again: list[Record] = field(default_factory=list)

    def records(self) -> list[Record]:
        """In order of time; copies after the originals, and what cannot be read."""
        bad = [(reason.encode(), BAD[reason]) for reason, times in BAD_TIMES.items() for _ in range(times)]
        return [*self.events, *self.again, *bad]

    def types(self) -> Counter[str]:
        """Events by type, copies included."""
        return Counter(str(json.loads(value)["type"]) for _, value in [*self.events, *self.again])


@dataclass(frozen=True)
class Live:
    """The running world once everything that was sent is on the boards."""

    address: str
    at: float
    """The instant of all queries, in seconds since 1970: of whole milliseconds, as Prometheus knows them."""
    seconds: int
    """So far back the first scrape is."""
    truth: Truth
    later_truth: Truth
    """Of the later part alone."""
    earlier: Part
    later: Part
    told: list[Json]
    """What the notifier's receiver took."""
    transitions: list[Transition]
    """What is on the topic of alerts."""
    worker_instance: str

    def ask(self, expression: str) -> list[Json]:
        """The series that a query finds at the instant."""
        return instant(self.address, expression, self.at)

    def samples(self, selector: str) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """Labels and all samples of the series, as they were scraped."""
        found = self.ask(f"{selector}[{self.seconds}s]")
        return [(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in found]


@contextmanager
def live(given: Settings, directory: Path) -> Iterator[Live]:
    """The world for the length of a block."""
    clock = ClockSettings(mode="fixed", at=moment(END_US))
    alerts = AlertsSettings(max_age_seconds=LATELY_US // SECOND_US)
    settings = msgspec.structs.replace(given, clock=clock, alerts=alerts)
    simulator = Simulator(SEED, START_US, reps=REPS, intensity=INTENSITY)
    reps = simulator.directory()
    earlier, later = parts(list(simulator.encoded(END_US)))
    directory_lines = [value for _, _, value in from_messages(reps)]
    with ExitStack() as stack:
        told, hook_url = stack.enter_context(receiver())
        settings = with_notifier(settings, hook_url)
        ensure_topics(settings)
        produce(settings.kafka, settings.kafka.reps_topic, from_messages(reps))
        send_at_once(settings, earlier)
        running = stack.enter_context(worker(settings, directory))
        board_port = stack.enter_context(board(settings, directory))
        notifier_port = stack.enter_context(notifier(settings, directory))
        counted = len(earlier.records()) + len(reps)
        wait_until(lambda: running.counted() == counted, "the earlier part was counted", running)
        for port in (board_port, notifier_port):
            wait_until(lambda port=port: get(port, "/metrics") is not None, "all programs answer", running)  # type: ignore[misc]
        wait_until(lambda: get(board_port, "/readyz") is not None, "the board is ready", running)
        ports = {"board": board_port, "worker": running.port, "notifier": notifier_port}
        address = stack.enter_context(prometheus(directory, ports))
        wait_until(lambda: _scrapes(address) >= BEFORE, "Prometheus scrapes all programs", running)
        first = time.time() - BEFORE
        send_at_once(settings, later)
        counted += len(later.records())
        paths = [directory / name for name in ("all.jsonl", "later.jsonl")]
        for path, events in zip(paths, ([*earlier.records(), *later.records()], later.records()), strict=True):
            path.write_bytes(b"\n".join([*directory_lines, *(value for _, value in events)]))
        truth, later_truth = (Truth(path, END_US, reps, LATELY_US) for path in paths)
        transitions = _settle(settings, running, address, counted, truth, told)
        at = round(time.time(), 3)
        yield Live(
            address=address,
            at=at,
            seconds=int(at - first),
            truth=truth,
            later_truth=later_truth,
            earlier=earlier,
            later=later,
            told=told,
            transitions=transitions,
            worker_instance=f"{LOOPBACK}:{running.port}",
        )


def parts(events: Sequence[Record]) -> tuple[Part, Part]:
    """The earlier and the later part: each has all events of its customers."""
    earlier, later = Part(), Part()
    for place, (key, value) in enumerate(events):
        part = later if crc32(key) % LATER_OF == 0 else earlier
        part.events.append((key, value))
        if place % AGAIN_OF == 0:
            part.again.append((key, value))
    return earlier, later


def send_at_once(settings: Settings, part: Part) -> None:
    """One batch for each partition: the worker never sees a request whose answer is still on its way."""
    options: dict[str, Any] = {"batch_size": BATCH_BYTES, "linger_ms": 60_000, "max_request_size": 8 * BATCH_BYTES}
    with producer(settings.kafka, **options) as sender:
        for key, value in part.records():
            sender.send(settings.kafka.events_topics[0], value, key=key, timestamp_ms=END_US // 1000)


def with_notifier(settings: Settings, hook_url: str) -> Settings:
    """Settings whose notifier tells a webhook."""
    own = msgspec.structs.replace(settings.notifier, webhook_url=hook_url, metrics_port=free_port())
    return msgspec.structs.replace(settings, notifier=own)


@contextmanager
def notifier(settings: Settings, directory: Path) -> Iterator[int]:
    """A notifier for the length of a block: the port of its metrics."""
    command = [sys.executable, "-m", "processors.commands.cli", "notifier"]
    with ChildProcess("the notifier", command, directory / "notifier.log", _environment(settings)):
        yield settings.notifier.metrics_port


def _environment(settings: Settings) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin"} | as_environment(settings)


@contextmanager
def prometheus(directory: Path, ports: dict[str, int]) -> Iterator[str]:
    """A Prometheus that scrapes the programs every second, with the shipped rules."""
    folder = directory / "prometheus"
    folder.mkdir()
    targets = {name: [f"{LOOPBACK}:{port}"] for name, port in ports.items()}
    (folder / "prometheus.yml").write_text(native.render(targets, interval_seconds=1), encoding="utf-8")
    with running_prometheus(folder) as address:
        yield address


@contextmanager
def receiver() -> Iterator[tuple[list[Json], str]]:
    """A webhook: what it took, and its address."""
    taken: list[Json] = []

    class Hook(BaseHTTPRequestHandler):
        """Takes every message."""

        def do_POST(self) -> None:
            """Keep the message."""
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing: the test does."""

    with ThreadingHTTPServer((LOOPBACK, 0), Hook) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield taken, f"http://{LOOPBACK}:{server.server_address[1]}/"
        server.shutdown()


def _settle(
    settings: Settings, running: Worker, address: str, counted: int, truth: Truth, told: list[Json]
) -> list[Transition]:
    """Wait until everything has reached the board, the receiver and Prometheus, and was scraped some times more."""
    activities = sum(truth.activities(rep, "30d") for rep in truth.people)
    conditions: dict[str, Callable[[], bool]] = {
        "all was counted": lambda: running.counted() == counted,
        "Prometheus knows": lambda: _number(address, f"sum({FLOW})") == counted,
        "the board shows it": lambda: _number(address, 'sum(crm_activities{window="30d"})') == activities,
        "sizes were measured": lambda: _number(address, 'salespulse_roots{kind="facts"}') == truth.sizes["facts"],
    }
    for what, condition in conditions.items():
        wait_until(condition, what, running)
    found = alert_records(settings)
    transitions = [msgspec.json.decode(record.value, type=Transition) for record in found]
    wait_until(lambda: len(told) == len(transitions), f"{len(transitions)} transitions were told", running)
    sent = 'salespulse_notifications_total{result="sent"}'
    wait_until(lambda: _number(address, f"sum({sent})") == len(told), "Prometheus knows of the last one", running)
    enough = _scrapes(address) + AFTER
    wait_until(lambda: _scrapes(address) >= enough, "some more scrapes", running)
    return transitions


def _number(address: str, expression: str) -> float | None:
    found = instant(address, expression)
    return float(found[0]["value"][1]) if found else None


def _scrapes(address: str) -> float:
    """How often the program that was scraped least was scraped."""
    counts = instant(address, 'count_over_time((up{job=~"board|workers|notifier"} == 1)[5m:500ms]) / 2')
    return min(float(one["value"][1]) for one in counts) if len(counts) == 3 else 0
