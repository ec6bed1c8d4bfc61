"""What does not belong on the notifier's topics, and messages and receivers that fail in ways nobody foresaw."""

import asyncio
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from config.clock import Clock
from config.settings import Settings
from processors.kafka.producer import producer, running_producer
from processors.notifier.active_holds import ActiveHolds
from processors.notifier.delivery_log import DeliveryLog
from processors.notifier.delivery_loop import NotifierDependencies
from processors.notifier.delivery_queue import DeliveryQueue
from processors.notifier.delivery_record import DeliveryRecord
from processors.notifier.keep_alive import KeepAlive
from processors.notifier.main import _keep_delivering
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.notification_dead_letters import NotificationDeadLetters
from processors.notifier.receivers.base import (
    DeliveryPolicy,
    NotificationBatch,
    RecordPosition,
    TryAgain,
)
from processors.notifier.receivers.webhook import MAX_IN_FLIGHT
from processors.notifier.sender import MAX_FAILURES_ALONE, Sender
from processors.read_model.acknowledgements import HoldStore
from processors.read_model.redis_connection import connect
from schemas.alerts import Transition
from tests.notifier.receivers.smtp_server import smtp_server
from tests.notifier.test_notifier import sent
from tests.notifier.world import (
    create_topics,
    hook,
    notifying,
    publish_alerts,
    records_of,
    started,
    transition,
    until,
    with_notifier,
)
from tests.read_model.test_acknowledgements import Record

EVERY = DeliveryPolicy(every_transition=True, max_in_flight=MAX_IN_FLIGHT)


class MemoryReceiver:
    """A receiver in memory. What is `bad` makes it raise what no receiver should; what it is `down` for waits."""

    def __init__(self, policy: DeliveryPolicy = EVERY, bad: str = "", down: str = "") -> None:
        self.name = "memory"
        self.policy = policy
        self.bad, self.down = bad, down
        self.taken: list[str] = []
        self.shown: list[str] = []
        self.broken = False

    async def send(self, batch: NotificationBatch) -> Mapping[str, str]:
        """Accept it."""
        requests = [notification.transition.request_id for notification in batch]
        if self.bad in requests:
            raise ZeroDivisionError("hush")
        if self.down in requests:
            raise TryAgain("500")
        self.taken += requests
        return {}

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """Show it."""
        requests = [one.request_id for one in active]
        if self.bad in requests:
            raise ZeroDivisionError("hush")
        self.shown += requests

    async def close(self) -> None:
        """Nothing stays open."""


class RefusingLog(DeliveryLog):
    """A log that refuses records while `refuses` is set."""

    refuses = True
    written: list[DeliveryRecord]

    async def write(self, records: Iterable[DeliveryRecord], digests: Iterable[tuple[str, int]] = ()) -> None:
        """Raises KafkaError while it refuses."""
        if self.refuses:
            raise KafkaError("the log refuses records")
        self.written = list(records)
        await super().write(self.written, digests)


def sender_of(
    settings: Settings, receiver: MemoryReceiver, producer: AIOKafkaProducer, log: type[DeliveryLog] = DeliveryLog
) -> Sender:
    """What sends to a receiver."""
    notifier = settings.notifier
    letters = NotificationDeadLetters(producer, notifier.dead_letters_topic, settings.kafka.alerts_topic)
    delivery_log = log(settings.kafka, notifier.log_topic, receiver.name, producer)
    return Sender(receiver, delivery_log, letters, NotifierMetrics(CollectorRegistry(), [receiver.name]), 0.001)


def queued(queue: DeliveryQueue, requests: Iterable[str]) -> None:
    """Alerts that wait to be sent."""
    for offset, request in enumerate(requests):
        queue.add(transition(request), RecordPosition(0, offset))


def letters_of(settings: Settings) -> dict[str, str]:
    """The refused requests, or what is no transition, with the reason."""
    found = {}
    for record in records_of(settings, settings.notifier.dead_letters_topic):
        headers = dict(record.headers)
        name = "malformed"
        if headers["reason"] == b"rejected":
            name = msgspec.json.decode(record.value, type=Transition).request_id
        found[name] = headers["detail"].decode()
    return found


def test_foreign_records_cost_a_letter_or_a_count_and_never_the_notifier(settings: Settings) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            publish_alerts(mine, [transition("before")])
            with producer(mine.kafka) as sender:
                for key, value in FOREIGN:
                    sender.send(mine.notifier.log_topic, value, key=key)
                for value in (b"x" * 900_000, long_id(), b'{"type":"alert.transition"}', b"\xff", b"[" * 5000):
                    sender.send(mine.kafka.alerts_topic, value, key=b"k" * 70_000)
                sender.flush()
            publish_alerts(mine, [transition("after")])
            name, labels = "salespulse_notifier_unreadable_records_total", {"receiver": "webhook"}
            for _ in range(2):
                async with notifying(mine) as registry:
                    await until(lambda: receiver.states("after"), "what came after the foreign records")
                    await until(lambda: registry.get_sample_value(name, labels) == len(FOREIGN), "their count")
            assert len(receiver.seen) == 2
            assert len(records_of(mine, mine.notifier.dead_letters_topic)) == 5

    asyncio.run(scenario())


FOREIGN: list[tuple[bytes | None, bytes | None]] = [
    (None, b"{}"),
    (b"hello", b"world"),
    (b'["webhook","alert","c1/r1/1/1h"]', b"no json"),
    (b'["webhook","alert","c1/r1/1/1h"]', b'{"alert_id":1}'),
    (b'["webhook","rep","alice"]', b'{"at_us":"x"}'),
    (b'["webhook","desk","alice"]', b"{}"),
    (b"\xff\xfe", None),
    (b"[" * 5000, b"[" * 5000),
]


def long_id() -> bytes:
    """A transition with an id that no worker writes."""
    return msgspec.json.encode(transition("r" * 10_000))


def test_a_rep_who_has_no_address_costs_one_mail_and_stops_nobody(settings: Settings) -> None:
    async def scenario() -> None:
        async with smtp_server() as mailbox, hook() as receiver:
            keys = {"email_host": "127.0.0.1", "email_port": mailbox.port, "email_security": "none"}
            address = {"email_from": "salespulse@example.com", "email_to": "{rep}@example.com"}
            mine = with_notifier(settings, webhook_url=receiver.url, **keys, **address)
            create_topics(mine)
            reps = ["x@[", "", "a b", "\x00", "é", "x\r\nBcc: y", '"', "(", "ann"]
            publish_alerts(mine, [transition(f"r{n}", rep_id=rep) for n, rep in enumerate(reps) if rep])
            async with notifying(mine) as registry:
                await until(lambda: mailbox.recipients == ["ann@example.com"], "the one who has an address")
                await until(lambda: len(receiver.taken) == len(reps) - 1, "all of them by the webhook")
                assert sent(registry, "email", "rejected") == len(reps) - 2
            letters = letters_of(mine)
            assert letters.keys() == {f"r{n}" for n, rep in enumerate(reps) if rep not in ("", "ann")}
            assert all("is no e-mail address" in detail for detail in letters.values())

    asyncio.run(scenario())


@pytest.mark.parametrize("batch_size", [1, 8])
def test_a_message_that_cannot_be_composed_costs_itself_and_reveals_no_secret(
    settings: Settings, batch_size: int
) -> None:
    async def scenario() -> None:
        mine = with_notifier(settings)
        create_topics(mine)
        receiver = MemoryReceiver(DeliveryPolicy(batch_size=batch_size, max_in_flight=4), bad="r5")
        async with running_producer(mine.kafka) as sender:
            mailer = sender_of(mine, receiver, sender)
            queued(mailer.queue, [f"r{n}" for n in range(8)])
            while mailer.next_batches():
                await mailer.send_due()
        assert sorted(receiver.taken) == [f"r{n}" for n in range(8) if n != 5]
        (detail,) = letters_of(mine).values()
        assert detail.startswith("ZeroDivisionError at test_hostile.py:")

    asyncio.run(scenario())


def test_a_message_that_the_receiver_fails_on_for_ever_is_refused_in_the_end(settings: Settings) -> None:
    async def scenario() -> None:
        mine = with_notifier(settings)
        create_topics(mine)
        receiver = MemoryReceiver(down="bad")
        async with running_producer(mine.kafka) as sender:
            mailer = sender_of(mine, receiver, sender)
            queued(mailer.queue, ["bad"])
            for number in range(1, 400):
                mailer.queue.add(transition(f"r{number}"), RecordPosition(0, number))
                await mailer.send_due()
                await asyncio.sleep(0.001)
                if mailer.queue.first_waiting(0) is None:
                    break
            assert f"r{number}" in receiver.taken
        (detail,) = letters_of(mine).values()
        assert detail == f"tried {MAX_FAILURES_ALONE + 1} times: 500"

    asyncio.run(scenario())


def test_what_was_sent_while_kafka_refused_records_is_not_sent_again(settings: Settings) -> None:
    async def scenario() -> None:
        mine = with_notifier(settings)
        create_topics(mine)
        receiver = MemoryReceiver()
        async with running_producer(mine.kafka) as sender:
            log = RefusingLog(mine.kafka, mine.notifier.log_topic, receiver.name, sender)
            mailer = sender_of(mine, receiver, sender)
            mailer._log = log
            steps = [transition("r1"), transition("r1", "resolved", 2), transition("r2")]
            for _ in range(3):
                records = mailer.restart(await log.read())
                for offset, step in enumerate(steps):
                    mailer.queue.add(step, RecordPosition(0, offset), records.get(step.alert_id))
                with suppress(KafkaError):
                    await mailer.send_due()
                    await mailer.send_due()
            assert sorted(receiver.taken) == ["r1", "r1", "r2"]  # fired, and its end
            log.refuses = False
            records = mailer.restart(await log.read())
            for offset, step in enumerate(steps):
                mailer.queue.add(step, RecordPosition(0, offset), records.get(step.alert_id))
            await mailer.send_due()
            assert sorted(receiver.taken) == ["r1", "r1", "r2"]
            contents = await log.read()
            assert {record.revision for record in contents.records.values()} == {5, 10}

    asyncio.run(scenario())


def test_an_alert_that_cannot_be_shown_leaves_the_others_alive() -> None:
    async def scenario() -> None:
        receiver = MemoryReceiver(DeliveryPolicy(shows_active=True), bad="r3")
        queue = DeliveryQueue(receiver.policy)
        for offset in range(7):
            queue.add_delivered(transition(f"r{offset}"), RecordPosition(0, offset), None)
        assert await KeepAlive(receiver, queue).send_due()
        assert sorted(receiver.shown) == [f"r{n}" for n in range(7) if n != 3]

    asyncio.run(scenario())


def test_a_receiver_whose_task_fails_is_restarted_and_the_others_go_on(settings: Settings) -> None:
    async def scenario() -> None:
        mine = with_notifier(settings)
        create_topics(mine)
        publish_alerts(mine, [transition("r1")])
        broken, sound = MemoryReceiver(), MemoryReceiver()
        broken.name = "broken"
        registry = CollectorRegistry()
        stop, clock, redis = asyncio.Event(), Clock(mine.clock), connect(mine.redis)
        async with running_producer(mine.kafka) as sender:
            holds = ActiveHolds(HoldStore(redis, mine.redis.prefix, Record(), clock.now_us), clock.now_us, 365)
            await holds.refresh()
            shared = NotifierDependencies(mine, clock, holds, NotifierMetrics(registry, ["broken", "memory"]), sender)
            # What a receiver of ours would never do: its policy cannot be read.
            broken.policy = None  # type: ignore[assignment]
            tasks = [asyncio.create_task(_keep_delivering(each, shared, stop)) for each in (broken, sound)]
            labels = {"receiver": "broken"}
            await until(
                lambda: registry.get_sample_value("salespulse_notifier_restarts_total", labels) == 1, "a restart"
            )
            await until(lambda: sound.taken == ["r1"], "the other receiver's alert")
            broken.policy = EVERY
            await until(lambda: broken.taken == ["r1"], "its own, once it can")
            stop.set()
            await asyncio.gather(*tasks)
        await redis.close()

    asyncio.run(scenario())


def test_killed_again_and_again_it_repeats_no_end_beyond_the_round_under_way(
    settings: Settings, tmp_path: Path
) -> None:
    kills, each = 4, 150

    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            steps = [step for n in range(each) for step in (transition(f"r{n}"), transition(f"r{n}", "resolved", 2))]
            publish_alerts(mine, steps)
            for number in range(kills):
                with started(mine, tmp_path, number) as notifier:
                    wanted = 2 * each * (number + 1) // (kills + 1)
                    await until(lambda: keys_of(receiver.taken) >= wanted or notifier.exit_code is not None, "some")  # noqa: B023
                    notifier.raise_if_ended()
                    notifier.kill()
            with started(mine, tmp_path, kills):
                await until(lambda: keys_of(receiver.taken) == 2 * each, "all of them")
                publish_alerts(mine, [transition("last")])
                await until(lambda: receiver.states("last"), "what came last")
            assert len(receiver.taken) - keys_of(receiver.taken) <= kills * MAX_IN_FLIGHT

    asyncio.run(scenario())


def keys_of(messages: list[dict[str, Any]]) -> int:
    """How many different messages there are."""
    return len({message["key"] for message in messages})


def test_a_notifier_that_wakes_after_its_session_sends_nothing_that_its_successor_sent(
    settings: Settings, tmp_path: Path
) -> None:
    each = 400

    async def scenario() -> None:
        slow = True

        async def answer(_: Any) -> int:
            await asyncio.sleep(0.05 if slow else 0)
            return 200

        async with hook(answer) as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            publish_alerts(mine, [transition(f"r{n}") for n in range(each)])
            with started(mine, tmp_path, 1) as asleep:
                await until(lambda: len(receiver.taken) > MAX_IN_FLIGHT, "the first round")
                asleep.send(signal.SIGSTOP)
                slow = False
                with started(mine, tmp_path, 2) as awake:
                    await until(lambda: keys_of(receiver.taken) == each, "the rest, by the second")
                    awake.raise_if_ended()
                    asleep.send(signal.SIGCONT)
                    publish_alerts(mine, [transition("last")])
                    await until(lambda: receiver.states("last"), "what came last")
                    assert asleep.stop() == 0
            assert len(receiver.taken) - keys_of(receiver.taken) <= 2 * MAX_IN_FLIGHT

    asyncio.run(scenario())
