"""A notifier in this process or in one of its own, its topics, and receivers that do what a test wants."""

import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry

from config.clock import Clock, wall_us
from config.settings import Settings, as_environment
from processors.core.time.instants import HOUR_US, SECOND_US
from processors.dev.process import ChildProcess
from processors.kafka.admin import admin_client
from processors.kafka.producer import producer
from processors.kafka.topic_reader import consumer
from processors.notifier.main import notify
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.receivers.configured import configured_receivers
from schemas.alerts import State, Transition

DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.02
RANKS: dict[State, int] = {"at_risk": 0, "fired": 1, "resolved": 2, "retracted": 3}
PROGRAM = """
import os
from config.settings import load_settings
from processors.notifier.main import run_notifier
raise SystemExit(run_notifier(load_settings(None, os.environ)))
"""
ROOT = Path(__file__).resolve().parents[2]


def transition(request: str = "r1", state: State = "fired", facts: int = 1, **more: Any) -> Transition:
    """A step of the alert of a request; its revision grows with what is known, and with the state."""
    customer, level, turn = more.pop("customer", "c1"), more.pop("level", "1h"), more.pop("turn", 1)
    opened_us = more.pop("opened_us", wall_us() - HOUR_US - SECOND_US)
    reasons = {"at_risk": "at_risk", "fired": "overdue", "resolved": "answered", "retracted": "answered_in_time"}
    values: dict[str, Any] = {
        "alert_id": f"{customer}/{request}/{turn}/{level}",
        "revision": 4 * facts + RANKS[state],
        "state": state,
        "level": level,
        "severity": "warning",
        "request_id": request,
        "turn": turn,
        "customer_id": customer,
        "rep_id": "alice",
        "team": "east",
        "channel": "email",
        "priority": "normal",
        "opened_us": opened_us,
        "due_us": opened_us + HOUR_US,
        "at_us": opened_us + HOUR_US,
        "reason": reasons[state],
    }
    return Transition(**(values | more))


def with_notifier(settings: Settings, **keys: Any) -> Settings:
    """Settings with these keys of the notifier, quick to try again, and its topics under the test's own names."""
    prefix = settings.kafka.group
    notifier = msgspec.structs.replace(
        settings.notifier,
        metrics_port=0,
        log_topic=f"{prefix}.notifications",
        dead_letters_topic=f"{prefix}.notifications.dead-letters",
        acks_topic=f"{prefix}.sla.acks",
        longest_pause_seconds=0.5,
        **keys,
    )
    return msgspec.structs.replace(settings, notifier=notifier)


def create_topics(settings: Settings, partitions: int = 1) -> None:
    """The topics that a notifier needs."""
    kafka, notifier = settings.kafka, settings.notifier
    compact = {"cleanup.policy": "compact"}
    plain: dict[str, Any] = {"num_partitions": 1, "replication_factor": 1}
    topics = {name: plain | {"configs": compact} for name in (notifier.log_topic, notifier.acks_topic)}
    topics[notifier.dead_letters_topic] = plain
    topics[kafka.alerts_topic] = plain | {"num_partitions": partitions, "configs": compact}
    with admin_client(kafka) as admin:
        admin.create_topics(topics)
        admin.wait_for_topics(list(topics), timeout_ms=30_000)


def publish_alerts(settings: Settings, transitions: Iterable[Transition]) -> None:
    """What a worker does: transitions onto their topic, keyed by alert_id."""
    encode = msgspec.json.encode
    with producer(settings.kafka) as sender:
        for each in transitions:
            sender.send(settings.kafka.alerts_topic, encode(each), key=each.alert_id.encode())


def records_of(settings: Settings, topic: str) -> list[Any]:
    """Everything that a topic holds."""
    found: list[Any] = []
    with consumer(settings.kafka, auto_offset_reset="earliest", consumer_timeout_ms=1500) as reader:
        reader.subscribe([topic])
        found.extend(reader)
    return found


@dataclass
class Hook:
    """A receiver over HTTP: keeps what it accepted, and answers as a test wants."""

    answer: Callable[[dict[str, Any]], int | Awaitable[int]] = lambda _: 200
    """From a message, the status to answer with."""
    url: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    """Messages that were answered with 2xx, in order."""
    seen: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Headers and bodies of all requests."""

    async def handle(self, request: web.Request) -> web.Response:
        """One request."""
        body = await request.read()
        self.seen.append((dict(request.headers), body))
        message = json.loads(body)
        status = self.answer(message)
        if not isinstance(status, int):
            status = await status
        if 200 <= status < 300:
            self.taken.append(message)
        return web.Response(status=status, text="as asked")

    def states(self, request: str) -> list[str]:
        """The states of a request's alert that it took, in order."""
        return [message["state"] for message in self.taken if message["request_id"] == request]


@contextlib.asynccontextmanager
async def hook(
    answer: Callable[[dict[str, Any]], int | Awaitable[int]] = lambda _: 200, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Hook]:
    """A receiver for the length of a block."""
    receiver = Hook(answer)
    application = web.Application(client_max_size=2**24)
    application.router.add_post("/{rest:.*}", receiver.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    receiver.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def notifying(settings: Settings, clock: Clock | None = None) -> AsyncIterator[CollectorRegistry]:
    """A notifier in this process for the length of a block, stopped in good order; gives its metrics."""
    clock = clock or Clock(settings.clock)
    receivers = configured_receivers(settings.notifier, clock)
    registry = CollectorRegistry()
    metrics = NotifierMetrics(registry, [receiver.name for receiver in receivers])
    stop = asyncio.Event()
    running = asyncio.create_task(notify(settings, clock, receivers, metrics, stop))
    try:
        yield registry
    finally:
        stop.set()
        await running


def self_signed(directory: Path) -> Path:
    """A key and a certificate for 127.0.0.1 in one file."""
    path = directory / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", directory / "key", "-out", directory / "crt"], check=True, capture_output=True)
    path.write_bytes((directory / "key").read_bytes() + (directory / "crt").read_bytes())
    return path


def started(settings: Settings, directory: Path, number: int = 1) -> ChildProcess:
    """A notifier in a process of its own."""
    env = {**os.environ, **as_environment(settings), "PYTHONPATH": str(ROOT)}
    return ChildProcess(f"notifier {number}", [sys.executable, "-c", PROGRAM], directory / f"{number}.log", env)


async def until(true: Callable[[], object], what: str, within_seconds: float = DEADLINE_SECONDS) -> None:
    """Return once it is true; the test fails when that takes too long."""
    deadline = time.monotonic() + within_seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {within_seconds:g} s: {what}"
        await asyncio.sleep(POLL_SECONDS)
