"""Worker and notifier killed at random moments: every passed deadline reaches a receiver once, and no other does.

A receiver that keeps to the contract drops what carries an `Idempotency-Key` that it has seen: only the round that was
under way when the notifier was killed may come again, under the same key.
"""

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.clock import wall_us
from config.settings import Settings
from processors.core.time.instants import SECOND_US, moment
from processors.dev.metrics_page import MetricsPage, get
from processors.dev.process import ChildProcess, free_port
from processors.kafka.bulk_producer import produce
from processors.kafka.pacing import Steady
from processors.kafka.timed_messages import from_messages
from processors.kafka.topics import ensure_topics
from processors.notifier.receivers.webhook import MAX_IN_FLIGHT
from schemas.events import ActivityLogged, Event, RequestAnswered, RequestOpened
from tests.integration.stack import Worker, wait_until, worker
from tests.notifier.world import started, with_notifier
from tests.postbox import Postbox, postbox

PER_SECOND = 60.0
LEVELS = {"short": 3, "long": 6}
ANSWERED_AFTER = (None, 0.5, 4.5, 8.0)
"""Seconds until the answer: never, in time, past the first level, past both."""
POLICY = """
[pipelines]
default = ["prospecting"]
[[levels]]
name = "short"
seconds = 3
[[levels]]
name = "long"
seconds = 6
"""


@dataclass
class Story:
    """Customers who write and are answered in their own time, and reps who log calls with them, until it is over."""

    over: threading.Event = field(default_factory=threading.Event)
    opened_us: dict[str, int] = field(default_factory=dict)
    answered_us: dict[str, int] = field(default_factory=dict)

    def events(self) -> Iterator[Event]:
        """What happens now. Calls make facts about a customer beside those of the request."""
        due: list[deque[tuple[int, str]]] = [deque() for _ in ANSWERED_AFTER]
        number = 0
        while not self.over.is_set() or any(due):
            now_us, number = wall_us(), number + 1
            head: dict[str, Any] = {"event_id": f"e{number}", "occurred_at": moment(now_us)}
            ripe = next((queue for queue in due if queue and queue[0][0] <= now_us), None)
            if ripe is not None:
                request = ripe.popleft()[1]
                self.answered_us[request] = now_us
                yield RequestAnswered(**head, customer_id=f"c-{request}", request_id=request, rep_id="alice")
            elif number % 2 or self.over.is_set():
                yield ActivityLogged(**head, customer_id=f"c-{self._somebody()}", rep_id="alice", kind="call")
            else:
                request = f"r{number}"
                self.opened_us[request] = now_us
                after = ANSWERED_AFTER[number // 2 % len(ANSWERED_AFTER)]
                if after is not None:
                    due[number // 2 % len(ANSWERED_AFTER)].append((now_us + int(after * SECOND_US), request))
                yield RequestOpened(
                    **head, customer_id=f"c-{request}", request_id=request, channel="email", rep_id="alice"
                )

    def _somebody(self) -> str:
        return random.choice(list(self.opened_us)[-200:] or ["nobody"])

    def passed(self) -> "SentCounts":
        """Request, level and state of what must be sent, once each."""
        wanted: SentCounts = Counter()
        for request, opened_us in self.opened_us.items():
            answered_us = self.answered_us.get(request)
            for level, seconds in LEVELS.items():
                if answered_us is None or answered_us > opened_us + seconds * SECOND_US:
                    wanted[request, level, "fired"] += 1
                    wanted[request, level, "resolved"] += answered_us is not None
        return +wanted


@pytest.mark.parametrize(
    ("kills", "longest"), [(4, 4.0), pytest.param(20, 9.0, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_killed_at_random_moments_every_passed_deadline_is_sent_exactly_once(
    settings: Settings, tmp_path: Path, kills: int, longest: float
) -> None:
    with postbox() as box, ExitStack() as running:
        life = Life(_settings(settings, box, tmp_path), tmp_path, running)
        story = Story()
        sending = threading.Thread(target=life.send, args=[story], daemon=True)
        sending.start()
        for number in range(kills):
            life.kill_one(number % 2, longest)
        story.over.set()
        sending.join()
        wanted = story.passed()
        received = Received(box)
        wait_until(lambda: wanted.keys() <= received.so_far().keys(), "every passed deadline", life.worker, seconds=240)
        wait_until(life.has_sent_all, "the end of the topic", life.worker)
        assert_once(received.so_far(), wanted)
        assert len(box.letters) - received.so_far().total() <= kills * MAX_IN_FLIGHT


SentCounts = Counter[tuple[str, str, str]]
"""Request, level and state, and how often that was asked."""


def assert_once(found: SentCounts, wanted: SentCounts) -> None:
    """Whatever was due was sent once, and nothing else; a warning before it may be left out."""
    warned = {key: count for key, count in found.items() if key[2] == "at_risk"}
    assert max(warned.values()) == 1
    early = {key for key in found if key[2] == "resolved" and key not in wanted}
    assert all((request, level, "at_risk") in found for request, level, _ in early)
    assert {key: count for key, count in found.items() if key not in warned and key not in early} == wanted
    assert len(wanted) > 100


class Received:
    """What a receiver gets that drops repetitions of a key. Each letter is looked at once."""

    def __init__(self, box: Postbox) -> None:
        self._box = box
        self._read = 0
        self._keys: set[str] = set()
        self._counts: SentCounts = Counter()

    def so_far(self) -> SentCounts:
        """Everything up to now."""
        for letter in self._box.letters[self._read :]:
            self._read += 1
            if letter.headers["Idempotency-Key"] not in self._keys:
                self._keys.add(letter.headers["Idempotency-Key"])
                self._counts[letter.body["request_id"], letter.body["level"], letter.body["state"]] += 1
        return self._counts


class Life:
    """A worker and a notifier that are restarted as often as they are killed."""

    def __init__(self, settings: Settings, directory: Path, running: ExitStack) -> None:
        ensure_topics(settings)
        self._settings = settings
        self._directory = directory
        self._running = running
        self._numbers = iter(range(1000))
        self.worker = self._new_worker()
        self.notifier = self._new_notifier()

    def send(self, story: Story) -> None:
        """All that happens, as it happens."""
        kafka = self._settings.kafka
        produce(kafka, kafka.events_topics[0], from_messages(story.events()), Steady(PER_SECOND))

    def kill_one(self, which: int, longest: float) -> None:
        """At a random moment within so many seconds: while they join, recover, or are at work."""
        time.sleep(random.uniform(0.5, longest))
        if which == 0:
            self.worker.process.kill()
            self.worker = self._new_worker()
        else:
            self.notifier.kill()
            self.notifier = self._new_notifier()

    def has_sent_all(self) -> bool:
        """Whether the notifier is done with every record of its topic."""
        self.notifier.raise_if_ended()
        page = MetricsPage(get(self._settings.notifier.metrics_port, "/metrics") or "")
        lag = page.totals_by("salespulse_notifier_lag_records", "receiver")
        return page.total("salespulse_notifications_total", result="sent") > 0 and lag == {"webhook": 0}

    def _new_worker(self) -> Worker:
        return self._running.enter_context(worker(self._settings, self._directory))

    def _new_notifier(self) -> ChildProcess:
        return self._running.enter_context(started(self._settings, self._directory, next(self._numbers)))


def _settings(settings: Settings, box: Postbox, directory: Path) -> Settings:
    path = directory / "policy.toml"
    path.write_text(POLICY, encoding="utf-8")
    with_webhook = with_notifier(settings, webhook_url=f"{box.url}/hook")
    return msgspec.structs.replace(
        with_webhook,
        notifier=msgspec.structs.replace(with_webhook.notifier, metrics_port=free_port()),
        policy=msgspec.structs.replace(settings.policy, path=path),
    )
