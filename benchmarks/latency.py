"""Latency: from the moment at which an event is sent until its number is in the board's `/metrics`.

A rep of its own, the probe, gets one activity a hundred times a second among a simulated team's 5,000 events a second.
Its count in `/metrics` says which of them are visible. The scrape itself, and the pause between two scrapes, are part
of the latency. At this rate no process needs a core of its own: all of them share the machine's.
"""

import json
import re
import tempfile
import time
from pathlib import Path

import click
import msgspec

from benchmarks.load import Load, mix_for, rest_until
from benchmarks.machine import described
from benchmarks.spread import spread
from benchmarks.stack import prepare, running_stack, salespulse, wait_for
from config.clock import wall_us
from config.settings import Settings
from processors.core.time.instants import moment
from processors.dev.metrics_page import get
from processors.kafka.bulk_producer import produce
from processors.kafka.timed_messages import from_messages
from schemas.errors import Unavailable
from schemas.events import ActivityLogged, RepUpdated

PROBE = "latency-probe"
SERIES = re.compile(r'crm_activities\{rep="latency-probe",team="[^"]*",kind="call",window="30d"\} (\d+)')
"""Begins with plain text, so that looking for it in all series takes next to nothing."""
DRAIN_SECONDS = 10.0


class Times(msgspec.Struct, frozen=True):
    """How long the stream flows before anything is measured, then how long it is, and the pause between two scrapes."""

    settle_seconds: float
    seconds: float
    pause_seconds: float


class Probes:
    """Sends probes, and remembers when."""

    def __init__(self) -> None:
        self.sent: list[float] = []

    def next(self) -> ActivityLogged:
        """The next probe, sent now."""
        number = len(self.sent)
        self.sent.append(time.monotonic())
        return ActivityLogged(
            event_id=f"probe-{number}",
            occurred_at=moment(wall_us()),
            customer_id=f"probed-{number % 1000}",
            rep_id=PROBE,
            kind="call",
        )


def visible(port: int) -> int:
    """How many probes the board shows; raises Unavailable when it does not answer."""
    text = get(port, "/metrics")
    if text is None:
        raise Unavailable(f"the board on port {port} does not answer")
    found = SERIES.search(text)
    return int(found[1]) if found else 0


def watch(port: int, probes: Probes, seconds: float, pause_seconds: float) -> list[float]:
    """Scrape for so long; the latency of each probe that became visible meanwhile."""
    latencies: list[float] = []
    seen, end = visible(port), time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        count = visible(port)
        now = time.monotonic()
        latencies += [now - sent for sent in probes.sent[seen:count]]
        seen = count
        rest_until(started + pause_seconds)
    return latencies


def measure(settings: Settings, per_second: float, times: Times) -> tuple[list[float], int]:
    """The latencies, and how many probes were never seen (there must be none)."""
    probes, port = Probes(), settings.board.port
    mix = mix_for(per_second, times.settle_seconds + times.seconds)
    prepare(settings)
    announced = from_messages([RepUpdated(rep_id=PROBE, name="Latency probe")])  # else it would be one of `_unknown`
    produce(settings.kafka, settings.kafka.reps_topic, announced)
    with salespulse("worker", settings, set()) as worker, salespulse("board", settings, set()) as board:
        wait_for(worker, settings.worker.metrics_port, lambda page: page.total("salespulse_partitions_owned") > 0)
        wait_for(board, port, lambda _: True)
        with Load(settings, mix, per_second, probes.next):
            watch(port, probes, times.settle_seconds, times.pause_seconds)
            latencies = watch(port, probes, times.seconds, times.pause_seconds)
        deadline = time.monotonic() + DRAIN_SECONDS
        while visible(port) < len(probes.sent) and time.monotonic() < deadline:
            time.sleep(times.pause_seconds)
        return latencies, len(probes.sent) - visible(port)


@click.command()
@click.option("--per-second", default=5000.0, show_default=True, help="events a second")
@click.option("--seconds", default=60.0, show_default=True, help="how long it is measured")
@click.option("--settle-seconds", default=10.0, show_default=True, help="how long the stream flows before that")
@click.option("--pause-seconds", default=0.1, show_default=True, help="from one scrape to the next")
@click.option("--json", "as_json", is_flag=True, help="figures for programs")
def main(per_second: float, seconds: float, settle_seconds: float, pause_seconds: float, as_json: bool) -> None:
    """Seconds from an event to its number in the board's /metrics."""
    with tempfile.TemporaryDirectory() as directory, running_stack(Path(directory), set()) as stack:
        latencies, unseen = measure(
            stack.settings("latency"), per_second, Times(settle_seconds, seconds, pause_seconds)
        )
    found = spread(latencies)
    if as_json:
        click.echo(json.dumps({"machine": described(), "unseen": unseen, **msgspec.to_builtins(found)}))
        return
    click.echo(
        f"{found.count:,} probes at {per_second:,.0f} events/s: p50 {found.p50:.3f} s, p99 {found.p99:.3f} s, "
        f"most {found.most:.3f} s; {unseen} never seen\n{described()}"
    )


if __name__ == "__main__":
    main()
