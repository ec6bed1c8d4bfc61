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
from processors.notifier.active_holds import ActiveHolds
from processors.notifier.delivery_loop import DeliveryLoop, NotifierDependencies
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.receivers.base import DeliveryPolicy, NotificationBatch, TryAgain
from processors.read_model.acknowledgements import HoldStore
from processors.read_model.redis_connection import connect
from schemas.alerts import Transition
from tests.notifier.world import create_topics, transition, until, with_notifier
from tests.read_model.test_acknowledgements import Record

ALERTS = 100_000
QUEUE_LIMIT = 2000


class Counting:
    """A receiver in memory that is down at first."""

    def __init__(self, policy: DeliveryPolicy) -> None:
        self.name = "counting"
        self.policy = policy
        self.up = False
        self.refused = 0
        self.revisions: dict[str, list[int]] = {}

    async def send(self, batch: NotificationBatch) -> Mapping[str, str]:
        """Accept it, if we are up."""
        if not self.up:
            self.refused += 1
            raise TryAgain("down")
        for notification in batch:
            self.revisions.setdefault(notification.transition.alert_id, []).append(notification.transition.revision)
        return {}

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""


def test_a_hundred_thousand_at_once_are_sent_in_bounded_memory(settings: Settings) -> None:
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
        receiver = Counting(DeliveryPolicy(every_transition=True, max_in_flight=16, batch_size=50))
        registry = CollectorRegistry()
        clock = Clock(mine.clock)
        metrics = NotifierMetrics(registry, [receiver.name])
        stop = asyncio.Event()
        redis = connect(mine.redis)
        holds = ActiveHolds(HoldStore(redis, mine.redis.prefix, Record(), clock.now_us), clock.now_us, 400)
        async with running_producer(mine.kafka) as producer:
            running = asyncio.create_task(
                DeliveryLoop(receiver, NotifierDependencies(mine, clock, holds, metrics, producer)).run(stop)
            )
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
