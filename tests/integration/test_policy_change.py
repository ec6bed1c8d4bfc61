"""A policy edited while a worker runs: SIGHUP takes it or refuses it, and open turns keep what they began with."""

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import msgspec

from config.settings import Settings
from processors.kafka.topics import ensure_topics
from schemas.alerts import Transition
from schemas.events import RequestOpened
from tests.integration.stack import Worker, alert_records, send, wait_until, worker

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "policy.toml"
VERSION = """
[[versions]]
effective_from = {}
[[versions.levels]]
name = "soon"
seconds = 1
"""


def opened(request: str) -> RequestOpened:
    """A customer writes now."""
    return RequestOpened(
        event_id=uuid4().hex, occurred_at=datetime.now(UTC), customer_id=request, request_id=request, channel="email"
    )


def said(settings: Settings) -> list[tuple[str, str, str]]:
    """Request, level and state of all that was said."""
    found = [msgspec.json.decode(record.value, type=Transition) for record in alert_records(settings)]
    return [(transition.request_id, transition.level, transition.state) for transition in found]


def test_sighup_takes_a_policy_for_turns_to_come_and_refuses_a_bad_one(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text := SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    settings = msgspec.structs.replace(settings, policy=msgspec.structs.replace(settings.policy, path=path))
    ensure_topics(settings)
    with worker(settings, tmp_path) as running:
        pid = running.process.pid
        wait_until(lambda: running.owns(settings.kafka.partitions), "every partition", running)
        send(settings, [opened("before")])
        wait_until(lambda: running.counted() == 1, "the first request", running)

        hang_up(running, path, text.replace("seconds = 3600", "seconds = 0"), "the policy stays as it was")
        hang_up(running, path, text.replace("seconds = 3600", "seconds = 1"), "levels or calendars of open turns")
        assert running.owns(settings.kafka.partitions)

        since = datetime.now(UTC) + timedelta(seconds=1)
        hang_up(running, path, text + VERSION.format(since.isoformat()), "beginning anew with it")
        wait_until(lambda: running.log().count("has changed") == 1 and running.counted() == 0, "a new life", running)
        wait_until(lambda: running.owns(settings.kafka.partitions), "every partition again", running)
        while datetime.now(UTC) <= since:
            time.sleep(0.05)
        send(settings, [opened("after")])
        wait_until(lambda: ("after", "soon", "fired") in said(settings), "the new level's alert", running)

        assert {request for request, _, _ in said(settings)} == {"after"}
        assert (running.process.pid, running.process.exit_code) == (pid, None)
        assert running.process.stop() == 0


def hang_up(running: Worker, path: Path, text: str, answer: str) -> None:
    """Edit the policy, send SIGHUP, and wait for the line about it."""
    path.write_text(text, encoding="utf-8")
    running.process.send(signal.SIGHUP)
    wait_until(lambda: answer in running.log(), answer, running)
