"""Alerts at the due second: a million requests wait in the worker's heap while 5,000 events a second flow.

The lag of an alert is from its due instant until its record on the alerts topic has been read by a consumer. The
requests came in evenly over the last 23 hours, so that some 12 of them pass their first hour every second. The worker
is stopped and started once in between, to measure how long it takes to get all of them back and to publish them.
At the end, with the stream still flowing, many more requests pass their first hour in one and the same second.
"""

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import msgspec
import redis
from aiokafka import AIOKafkaConsumer

from benchmarks.corpus import REPS
from benchmarks.load import Load, mix_for, seconds_since
from benchmarks.machine import cores, described, pinned, resident_mib
from benchmarks.spread import Spread, spread
from benchmarks.stack import applied, prepare, produce_events, running_stack, salespulse, wait_for
from config.clock import wall_us
from config.settings import Settings
from processors.core.time.instants import HOUR_US, SECOND_US, moment
from processors.dev.metrics_page import MetricsPage
from processors.dev.process import ChildProcess
from processors.kafka.timed_messages import from_messages
from processors.read_model.keys import ReadModelKeys
from schemas.alerts import Transition
from schemas.events import RequestOpened

PATIENCE_SECONDS = 600.0
POLL_MS = 100
BURST = "burst-"
SETTLE_SECONDS = 5.0

_decode = msgspec.json.Decoder(Transition).decode


class Found(msgspec.Struct):
    """What was measured."""

    lag: Spread
    """Seconds from an alert's due instant to its record."""
    open_requests: int
    recovery_seconds: float
    """Until the state was complete, as the worker says."""
    published_seconds: float
    """From the start of the process until everything that waits was in the read model."""
    worker_mib: float
    burst: Spread
    """Seconds from the common due instant of many requests to the record of each alert."""
    burst_mib: float
    """Resident memory of the worker after it."""


def waiting_requests(count: int, span_us: int) -> Iterator[RequestOpened]:
    """Requests of the time just past that nobody has answered."""
    now_us = wall_us()
    for number in range(count):
        yield RequestOpened(
            event_id=f"waiting-{number}",
            occurred_at=moment(now_us - span_us + number * span_us // count),
            customer_id=f"waiting-{number // 2}",
            request_id=f"waiting-{number}",
            channel="email",
            rep_id=f"rep-{number % REPS:03d}",
        )


def same_second(count: int, due_us: int) -> Iterator[RequestOpened]:
    """Requests that pass their first hour at the same instant."""
    for number in range(count):
        yield RequestOpened(
            event_id=f"{BURST}{number}",
            occurred_at=moment(due_us - HOUR_US),
            customer_id=f"{BURST}{number}",
            request_id=f"{BURST}{number}",
            channel="chat",
            rep_id=f"rep-{number % REPS:03d}",
        )


async def lags(settings: Settings, seconds: float, most: int = sys.maxsize, prefix: str = "waiting-") -> list[float]:
    """The lag of every alert that falls due within the next so many seconds and fires; ends early after `most`."""
    reader = AIOKafkaConsumer(
        settings.kafka.alerts_topic, bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="latest"
    )
    await reader.start()
    since_us, end = wall_us(), time.monotonic() + seconds
    found: list[float] = []
    try:
        while time.monotonic() < end and len(found) < most:
            for records in (await reader.getmany(timeout_ms=POLL_MS)).values():
                transitions = [_decode(record.value) for record in records]
                found += [seconds_since(t.due_us) for t in transitions if _is_fired(t, since_us, prefix)]
    finally:
        await reader.stop()
    return found


def _is_fired(transition: Transition, since_us: int, prefix: str) -> bool:
    due = transition.state == "fired" and transition.due_us >= since_us
    return due and transition.level == "1h" and transition.request_id.startswith(prefix)


def burst_ahead_seconds(count: int) -> float:
    """Time to send so many requests, and to read them, before they fall due."""
    return 5.0 + count / 5000


def burst_lags(settings: Settings, count: int) -> list[float]:
    """The lag of so many alerts that fall due in the same second; they are read before it."""
    due_us = wall_us() + int(burst_ahead_seconds(count) * SECOND_US)
    sent = threading.Thread(target=produce_events, args=(settings, from_messages(same_second(count, due_us))))
    sent.start()
    try:
        return asyncio.run(lags(settings, PATIENCE_SECONDS, count, BURST))
    finally:
        sent.join()


def fill(settings: Settings, requests: Iterable[RequestOpened]) -> None:
    """Let a worker take all requests, make them durable, and end."""
    prepare(settings)
    sent = produce_events(settings, from_messages(requests))
    with salespulse("worker", settings, cores()[0]) as worker:
        _wait(worker, settings, lambda page: applied(page) >= sent)


def measure(settings: Settings, counts: tuple[int, int], load: Load, seconds: tuple[float, float]) -> Found:
    """Restart, let the stream flow for the first number of seconds, and measure for the second.

    `counts`: the requests that wait, and those that fall due at once.
    """
    requests, at_once = counts
    settle_seconds, measured_seconds = seconds
    started = time.monotonic()
    with redis.Redis.from_url(settings.redis.url) as model, salespulse("worker", settings, cores()[0]) as worker:
        model.flushall()
        page = _wait(worker, settings, lambda page: _is_recovered(page) and _published(model, settings) >= requests)
        published = time.monotonic() - started
        with load:
            time.sleep(settle_seconds)
            found = asyncio.run(lags(settings, measured_seconds))
            held = _wait(worker, settings, lambda page: _open(page) > 0)
            mib = resident_mib(worker.pid)
            burst = burst_lags(settings, at_once)
        recovery = page.total("salespulse_recovery_seconds_sum")
        more = (spread(burst), resident_mib(worker.pid))
        return Found(spread(found), _open(held), recovery, published, mib, *more)


def _wait(worker: ChildProcess, settings: Settings, done: Callable[[MetricsPage], bool]) -> MetricsPage:
    return wait_for(worker, settings.worker.metrics_port, done, PATIENCE_SECONDS)


def _published(model: redis.Redis, settings: Settings) -> int:
    """How many open requests are in the read model."""
    keys, topic = ReadModelKeys(settings.redis.prefix), settings.kafka.events_topics[0]
    sections = [keys.section(f"{topic}/{number}", "open") for number in range(settings.kafka.partitions)]
    return sum(int(model.hlen(section)) for section in sections)


def _is_recovered(page: MetricsPage) -> bool:
    return page.total("salespulse_partitions_owned") > 0


def _open(page: MetricsPage) -> int:
    return int(page.total("salespulse_roots", kind="open_requests"))


@click.command()
@click.option("--requests", default=1_000_000, show_default=True, help="open requests")
@click.option("--span-hours", default=23.0, show_default=True, help="how old the oldest of them is")
@click.option("--per-second", default=5000.0, show_default=True, help="events a second meanwhile")
@click.option("--seconds", default=60.0, show_default=True, help="how long it is measured")
@click.option("--burst", default=100_000, show_default=True, help="requests that fall due in the same second")
@click.option("--json", "as_json", is_flag=True, help="figures for programs")
def main(requests: int, span_hours: float, per_second: float, seconds: float, burst: int, as_json: bool) -> None:
    """Seconds from an alert's due instant to its record on the alerts topic."""
    others = cores()[1]
    with tempfile.TemporaryDirectory() as directory, pinned(others), running_stack(Path(directory), others) as stack:
        settings = stack.settings("alerts")
        load = Load(settings, mix_for(per_second, SETTLE_SECONDS + seconds + burst_ahead_seconds(burst)), per_second)
        fill(settings, waiting_requests(requests, int(span_hours * HOUR_US)))
        found = measure(settings, (requests, burst), load, (SETTLE_SECONDS, seconds))
    if as_json:
        click.echo(json.dumps({"machine": described(), **msgspec.to_builtins(found)}))
        return
    lag = found.lag
    click.echo(
        f"{lag.count:,} alerts fired among {found.open_requests:,} open requests at {per_second:,.0f} events/s: "
        f"lag p50 {lag.p50:.3f} s, p99 {lag.p99:.3f} s, most {lag.most:.3f} s\n"
        f"recovered in {found.recovery_seconds:.1f} s, published {found.published_seconds:.1f} s after the start, "
        f"{found.worker_mib:,.0f} MiB resident\n"
        f"{found.burst.count:,} alerts due in the same second: p50 {found.burst.p50:.1f} s, the last after "
        f"{found.burst.most:.1f} s, {found.burst_mib:,.0f} MiB resident; {described()}"
    )


if __name__ == "__main__":
    main()
