"""A whole running installation for a browser: broker, Redis, worker and board, on a clock 240 times as fast."""

import random
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec

from config.board_settings import BoardSettings
from config.clock import Clock, wall_us
from config.settings import ClockSettings, RedisSettings, Settings
from processors.core.time.instants import moment
from processors.dev.metrics_page import get
from processors.dev.redis_server import EmbeddedRedis
from processors.kafka.timed_messages import TimedMessage, from_messages
from processors.kafka.topics import ensure_topics
from schemas.events import Event, Message, RepUpdated
from tests import story
from tests.integration.stack import Worker, board, send_raw, wait_until, worker

SPEED = 240.0
"""An hour is 15 seconds."""
HISTORY_DAYS = 28
LIVE = HISTORY_DAYS * story.DAY + 2 * story.HOUR
"""The clock begins here, in minutes of the story: Monday 30 March 2026, 10:00 UTC."""
SCRIPT = "<script>alert(1)</script>"
NAMES = {
    "ann": "Ann Adler",
    "bob": "Bob Brown",
    "script": SCRIPT,
    "image": '"><img src=x onerror=alert(1)>',
    "long": "Wolfeschlegelsteinhausenbergerdorff " * 3 + "the Second, of 128",
    "zhang": "张伟",
    "ahmad": "أحمد بن محمد",
}
STAGES = ("prospecting", "qualified", "demo", "trial", "proposal", "negotiation")


LAST = (("requests?limit=500", '"unowned"'), ("requests?limit=500", '"oldest"'), ("reps", NAMES["ahmad"]))
"""What the board tells once it has everything, by places of its API."""


class Stage:
    """The running installation."""

    def __init__(self, settings: Settings, port: int, redis: EmbeddedRedis, running: Worker) -> None:
        self.settings = settings
        self.base = f"http://127.0.0.1:{port}"
        self.port = port
        self.redis = redis
        self._worker = running
        self._clock = Clock(settings.clock)

    def minute(self) -> float:
        """The present minute of the story."""
        return (self._clock.now_us() - START_US) / 60_000_000

    def tell(self, *messages: Message) -> None:
        """Send events and wait until the worker has them."""
        before = self._worker.counted()
        _send(self.settings, self.settings.kafka.events_topics[0], from_messages(messages))
        wait_until(lambda: self._worker.counted() >= before + len(messages), "events were counted", self._worker)

    def tell_raw(self, value: bytes) -> None:
        """Send something that need not be an event."""
        _send(self.settings, self.settings.kafka.events_topics[0], [(0, b"anybody", value)])

    def restart_redis(self, directory: Path) -> None:
        """An empty server at the same address."""
        self.redis = EmbeddedRedis.start(directory, self.redis.port)


START_US = int(story.START.timestamp()) * 1_000_000


@contextmanager
def stage(settings: Settings, directory: Path) -> Iterator[Stage]:
    """One with a past: two reps with four weeks of work, and five with names that try things."""
    redis = EmbeddedRedis.start(directory / "redis")
    settings = msgspec.structs.replace(
        settings,
        redis=RedisSettings(url=redis.url),
        board=BoardSettings(crm_url="https://crm.example.com/requests/{request_id}?customer={customer_id}"),
        clock=ClockSettings(mode="scaled", at=story.at(LIVE), wall_origin=moment(wall_us()), speed=SPEED),
    )
    before = list(past())
    ensure_topics(settings)
    _send(settings, settings.kafka.events_topics[0], from_messages(before))
    _send(settings, settings.kafka.reps_topic, from_messages(reps()))
    with worker(settings, directory) as running, board(settings, directory) as port:
        here = Stage(settings, port, redis, running)
        wait_until(lambda: running.counted() >= len(before), "the past was counted", running)
        wait_until(lambda: all(_knows(port, place, word) for place, word in LAST), "the board had it all", running)
        try:
            yield here
        finally:
            here.redis.stop()


def _knows(port: int, place: str, word: str) -> bool:
    return word in (get(port, f"/api/v1/{place}") or "")


def _send(settings: Settings, topic: str, outgoing: Iterable[TimedMessage]) -> None:
    """From a thread: Playwright's event loop runs in this one."""
    with ThreadPoolExecutor(1) as other:
        other.submit(send_raw, settings, outgoing, topic).result()


def reps() -> Iterator[RepUpdated]:
    """The directory."""
    for rep_id, name in NAMES.items():
        yield RepUpdated(rep_id=rep_id, name=name[:128], team="east" if rep_id in ("ann", "bob") else SCRIPT)


def past() -> Iterator[Event]:
    """What happened before: always the same."""
    rng = random.Random(7)
    for number in range(120):
        rep, minute = ("ann", "bob")[number % 2], rng.uniform(0, LIVE - 8 * story.HOUR)
        name = f"past-{number}"
        yield story.opened(minute, name, customer=name, rep_id=rep)
        yield story.answered(minute + rng.choice([5, 20, 45, 90, 300]), rep, name, customer=name)
        yield story.activity(minute, rep, customer=name)
        if number % 2 == 0 or rng.random() < 0.6:
            yield from _opportunity(minute, rep, name, rng)
    for rep_id in NAMES:
        if rep_id not in ("ann", "bob"):
            yield story.opened(
                LIVE - 90, f"{SCRIPT}-{rep_id}", customer=f"{SCRIPT}|{rep_id}", rep_id=rep_id, topic=SCRIPT
            )
    yield story.opened(LIVE - 26 * story.HOUR, "oldest", customer="oldest", rep_id="bob", priority="urgent")
    yield story.opened(LIVE - 2 * story.HOUR, "unowned", customer="unowned", channel="chat")


def _opportunity(minute: float, rep: str, name: str, rng: random.Random) -> Iterator[Event]:
    yield story.created(minute, rep, name, customer=name)
    reached = rng.randrange(1, len(STAGES) + 1)
    for place, one in enumerate(STAGES[:reached]):
        yield story.stage(minute + place, one, rep, name, customer=name)
    if reached == len(STAGES):
        yield story.won(minute + 99, rep, name, customer=name, amount=Decimal(100))
    elif rng.random() < 0.7:
        yield story.lost(minute + 99, rep, name, customer=name)
