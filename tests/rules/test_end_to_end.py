"""An unanswered request reaches people through the real programs, with the configuration that ships, and goes away.

Worker, board, notifier, Prometheus and Alertmanager run as processes; a clock makes 24 hours of 12 seconds. Messages
arrive at webhooks: one of the notifier's own, and one for each receiver of Alertmanager.
"""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import msgspec
import pytest

from config.clock import Clock
from config.settings import AlertsSettings, ClockSettings, Settings
from processors.core.time.instants import HOUR_US, instant_us, moment
from processors.dev.metrics_page import get
from processors.dev.monitoring import ALERTMANAGERS, PROMETHEUS, Monitoring, MonitoringPorts, monitoring
from processors.dev.process import LOOPBACK, free_port
from processors.kafka.timed_messages import from_messages
from processors.kafka.topics import ensure_topics
from schemas.events import RepUpdated, RequestAnswered, RequestOpened
from tests.integration.stack import Worker, board, send, send_raw, wait_until, worker
from tests.notifier.world import started
from tests.postbox import Postbox, postbox

SPEED = 7200.0
WARNED_AFTER_US = 19 * HOUR_US
"""A little before the 24 h level is at risk."""
RECEIVERS = ("reps", "managers-urgent")
HERE = shutil.which(PROMETHEUS) is not None and any(map(shutil.which, ALERTMANAGERS))

pytestmark = pytest.mark.skipif(
    not HERE, reason="prometheus and prometheus-alertmanager are not on PATH (Debian: apt-get install them)"
)


class Post:
    """What people were told: by the notifier's own webhook, and by the receivers of Alertmanager."""

    def __init__(self, box: Postbox) -> None:
        self._box = box

    def told(self, customer: str) -> list[tuple[str, str]]:
        """Level and state of what the notifier's own webhook was told about a customer."""
        messages = [message for message in self._box.at("/hook") if message["customer_id"] == customer]
        return [(message["level"], message["state"]) for message in messages]

    def alerts(self, receiver: str, **labels: str) -> list[str]:
        """The statuses that a receiver of Alertmanager was told of alerts with these labels, in order."""
        alerts = [alert for group in self._box.at(f"/{receiver}") for alert in group["alerts"]]
        return [alert["status"] for alert in alerts if labels.items() <= alert["labels"].items()]


@pytest.fixture
def scaled(settings: Settings) -> Settings:
    """An hour is half a second; nothing is so old that nobody would be told."""
    now = datetime.now(UTC)
    clock = ClockSettings(mode="scaled", at=now, wall_origin=now, speed=SPEED)
    alerts = AlertsSettings(max_age_seconds=1_000_000)
    return msgspec.structs.replace(settings, clock=clock, alerts=alerts)


def told_at(settings: Settings, address: str, running: Monitoring, port: int) -> Settings:
    """The notifier tells its own webhook and Alertmanager."""
    notifier = msgspec.structs.replace(
        settings.notifier,
        metrics_port=port,
        webhook_url=f"{address}/hook",
        alertmanager_urls=(f"http://{LOOPBACK}:{running.alertmanager_port}",),
    )
    return msgspec.structs.replace(settings, notifier=notifier)


def value(running: Monitoring, expression: str) -> float | None:
    """What Prometheus answers to a query; None: nothing yet."""
    text = get(running.prometheus_port or 0, f"/api/v1/query?query={quote(expression)}")
    found = [] if text is None else json.loads(text)["data"]["result"]
    return float(found[0]["value"][1]) if found else None


def inhibited(running: Monitoring, **labels: str) -> bool:
    """Whether Alertmanager keeps quiet about the alert with these labels because of a worse one."""
    text = get(running.alertmanager_port or 0, "/api/v2/alerts") or "[]"
    found = [alert for alert in json.loads(text) if labels.items() <= alert["labels"].items()]
    return bool(found) and all(alert["status"]["inhibitedBy"] for alert in found)


class Customers:
    """Who writes, and who answers, by the scaled clock."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clock = Clock(settings.clock)

    def now_us(self) -> int:
        """What the clock says."""
        return self._clock.now_us()

    def writes(self, customer: str, rep: str) -> int:
        """A customer asks a rep: since when."""
        question = RequestOpened(**self._head(customer), request_id=customer, channel="email", rep_id=rep)
        send(self._settings, [question])
        return instant_us(question.occurred_at)

    def is_answered(self, customer: str, rep: str) -> None:
        """The rep answers."""
        send(self._settings, [RequestAnswered(**self._head(customer), request_id=customer, rep_id=rep)])

    def _head(self, customer: str) -> dict[str, Any]:
        return {"event_id": uuid4().hex, "customer_id": customer, "occurred_at": moment(self.now_us())}


def test_a_request_left_unanswered_alerts_at_1h_and_24h_resolves_on_answer_and_by_rules_without_workers(
    scaled: Settings, tmp_path: Path
) -> None:
    teams = {"alice": "east", "bob": "west"}
    reps = [RepUpdated(rep_id=rep, name=rep.title(), team=team) for rep, team in teams.items()]
    send_raw(scaled, from_messages(reps), scaled.kafka.reps_topic)
    ensure_topics(scaled)
    notifier_port = free_port()
    with (
        postbox() as box,
        worker(scaled, tmp_path) as working,
        board(scaled, tmp_path) as board_port,
        monitoring(
            tmp_path,
            {name: [f"{LOOPBACK}:{port}"] for name, port in _ports(board_port, working, notifier_port).items()},
            MonitoringPorts(),
            {receiver: f"{box.url}/{receiver}" for receiver in RECEIVERS},
            interval_seconds=1,
        ) as running,
        started(told_at(scaled, box.url, running, notifier_port), tmp_path) as notifier,
    ):
        customers, messages = Customers(scaled), Post(box)

        def until(done: Callable[[], bool], what: str) -> None:
            wait_until(done, what, working)
            notifier.raise_if_ended()

        until(lambda: working.owns(scaled.kafka.partitions), "every partition")
        until(lambda: get(notifier_port, "/metrics") is not None, "the notifier")
        _alerts_and_resolves(customers, messages, running, until)
        _alerts_without_workers(customers, messages, running, working)


def _ports(board_port: int, working: Worker, notifier_port: int) -> dict[str, int]:
    return {"board": board_port, "worker": working.port, "notifier": notifier_port}


Until = Callable[[Callable[[], bool], str], None]


def _alerts_and_resolves(customers: Customers, messages: Post, running: Monitoring, until: Until) -> None:
    """Single requests, by the notifier, and beside it the totals by rules."""
    customers.writes("asked", "alice")
    until(lambda: ("1h", "fired") in messages.told("asked"), "the 1 h alert")
    hour = {"alertname": "RequestUnanswered1h", "channel": "email", "rep": "alice", "team": "east"}
    day = hour | {"alertname": "RequestUnanswered24h"}
    until(lambda: "firing" in messages.alerts("reps", **hour), "the 1 h alert by Alertmanager")
    until(lambda: ("24h", "fired") in messages.told("asked"), "the 24 h alert")
    until(lambda: "firing" in messages.alerts("reps", **day), "the 24 h alert by Alertmanager")
    until(lambda: inhibited(running, **hour), "the 1 h alert is said no more")
    for level in ("1h", "24h"):
        rule = f'ALERTS{{alertname="RequestUnanswered{level}",alertstate="firing",rep="alice",audience="sales"}}'
        until(lambda rule=rule: value(running, f"max_over_time({rule}[5m])") == 1, f"the rule of {level}")  # type: ignore[misc]
    customers.is_answered("asked", "alice")
    until(lambda: messages.told("asked").count(("24h", "resolved")) == 1, "the end of the 24 h alert")
    until(lambda: messages.alerts("reps", **day)[-1:] == ["resolved"], "its end by Alertmanager")
    until(lambda: messages.alerts("reps", **hour)[-1:] == ["resolved"], "the end of the 1 h alert by Alertmanager")
    fired = [told for told in messages.told("asked") if told[1] in ("fired", "resolved")]
    assert sorted(fired) == [("1h", "fired"), ("1h", "resolved"), ("24h", "fired"), ("24h", "resolved")]


def _alerts_without_workers(customers: Customers, messages: Post, running: Monitoring, working: Worker) -> None:
    """The board goes on counting ages, and the rules watch the board.

    The rep is of another team than the first: Alertmanager says news of one team's totals once a minute.
    """
    opened_us = customers.writes("left", "bob")
    wait_until(lambda: value(running, 'sum(crm_requests_open{rep="bob"})') == 1, "the board knows of it", working)
    working.process.kill()
    waited_us = customers.now_us() - opened_us
    urgent = {"alertname": "RequestUnanswered24h", "rep": "bob", "audience": "sales"}
    wait_until(lambda: "firing" in messages.alerts("managers-urgent", **urgent), "the 24 h alert by rules alone")
    # On a machine that is so slow that the worker lived to see the level, it could tell of it.
    assert waited_us > WARNED_AFTER_US or {level for level, _ in messages.told("left")} <= {"1h"}
