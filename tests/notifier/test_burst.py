"""A hundred thousand alerts due in the same second: memory stays bounded, and all of them arrive."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from prometheus_client import CollectorRegistry

from config.clock import Clock
from config.settings import Settings
from processors.kafka.bulk_producer import produce
from processors.kafka.producer import running_producer
from processors.kafka.timed_messages import TimedMessage
from processors.notifier.acks import Acks
from processors.notifier.delivery import Delivery, Given
from processors.notifier.holds import Holds
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.notices import Habits, Parcel
from processors.notifier.receiver import TryAgain
from processors.sinks.redis_client import connect
from schemas.alerts import Transition
from tests.notifier.test_acks import Record
from tests.notifier.world import create_topics, transition, until, with_notifier

ALERTS = 100_000
QUEUE_LIMIT = 2000


class Counting:
    """A receiver in memory that is down at first."""

    def __init__(self, habits: Habits) -> None:
        self.name = "counting"
        self.habits = habits
        self.up = False
        self.refused = 0
        self.revisions: dict[str, list[int]] = {}

    async def send(self, parcel: Parcel) -> Mapping[str, str]:
        """Take it, if we are up."""
        if not self.up:
            self.refused += 1
            raise TryAgain("down")
        for notice in parcel:
            self.revisions.setdefault(notice.transition.alert_id, []).append(notice.transition.revision)
        return {}

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""


def test_a_hundred_thousand_at_once_are_told_in_bounded_memory(settings: Settings) -> None:
    mine = with_notifier(settings, queue_limit=QUEUE_LIMIT)
    create_topics(mine)
    first = transition()
    encode = msgspec.json.encode

    def outgoing() -> Iterator[TimedMessage]:
        for number in range(ALERTS):
            name = f"r{number}"
            step = msgspec.structs.replace(first, request_id=name, alert_id=f"c1/{name}/1/1h")
            yield 0, step.alert_id.encode(), encode(step)

    produce(mine.kafka, mine.kafka.alerts_topic, outgoing())

    async def scenario() -> None:
        receiver = Counting(Habits(every=True, at_once=16, together=50))
        registry = CollectorRegistry()
        clock = Clock(mine.clock)
        metrics = NotifierMetrics(registry, [receiver.name])
        stop = asyncio.Event()
        redis = connect(mine.redis)
        holds = Holds(Acks(redis, mine.redis.prefix, Record(), clock.now_us), clock.now_us, 400, metrics.redis_up.set)
        async with running_producer(mine.kafka) as producer:
            running = asyncio.create_task(Delivery(receiver, Given(mine, clock, holds, metrics, producer)).run(stop))
            labels = {"receiver": receiver.name}

            def gauge(name: str) -> float:
                return registry.get_sample_value(f"salespulse_notifier_{name}", labels) or 0.0

            await until(lambda: gauge("queue") == QUEUE_LIMIT, "a full queue")
            refused = receiver.refused
            await until(lambda: receiver.refused >= refused + 2, "two more refusals")
            assert gauge("queue") == QUEUE_LIMIT
            assert gauge("lag_records") == ALERTS
            receiver.up = True
            highest = 0.0
            while len(receiver.revisions) < ALERTS:
                highest = max(highest, gauge("queue"))
                await asyncio.sleep(0.01)
                assert not running.done()
            assert highest <= QUEUE_LIMIT
            await until(lambda: gauge("lag_records") == 0, "everything committed")
            stop.set()
            await running
        await redis.close()
        assert all(revisions == [first.revision] for revisions in receiver.revisions.values())

    asyncio.run(asyncio.wait_for(scenario(), 120))
