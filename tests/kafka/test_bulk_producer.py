"""Messages onto a real broker, and at the pace asked for."""

import asyncio
import io
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest
from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder
from kafka.partitioner.default import murmur2

from config.clock import Clock
from config.settings import ClockSettings, KafkaSettings, Settings
from processors.core.time.instants import SECOND_US, moment
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.admin import admin_client
from processors.kafka.bulk_producer import PartitionBatches, SendProgress, produce, send_all, write_lines
from processors.kafka.pacing import FullSpeed, Live, Steady
from processors.kafka.timed_messages import TimedMessage, from_events, from_messages
from processors.kafka.topic_reader import consumer
from schemas.errors import Unavailable, UsageError

PARTITIONS = 3
START_US = 1_760_000_000 * SECOND_US


def simulated(count: int) -> list[TimedMessage]:
    return list(islice(from_events(Simulator(5, START_US).timed()), count))


def create_topic(kafka: KafkaSettings) -> str:
    topic = kafka.events_topics[0]
    with admin_client(kafka) as admin:
        admin.create_topics({topic: {"num_partitions": PARTITIONS, "replication_factor": 1}})
    return topic


def consumed(kafka: KafkaSettings, topic: str, count: int) -> list[tuple[int, bytes, bytes]]:
    with consumer(kafka, auto_offset_reset="earliest", consumer_timeout_ms=20_000) as client:
        client.subscribe([topic])
        return [(record.partition, record.key, record.value) for record in islice(client, count)]


def test_every_message_arrives_once_in_order_of_its_key_where_kafkas_own_clients_look_for_it(
    settings: Settings,
) -> None:
    sent = simulated(20_000)
    topic = create_topic(settings.kafka)
    progress: list[int] = []
    delivery = produce(settings.kafka, topic, sent, on_progress=lambda now: progress.append(now.acknowledged))
    arrived = consumed(settings.kafka, topic, len(sent))
    assert delivery == SendProgress(len(sent), len(sent), sum(len(value) for _, _, value in sent))
    assert progress == sorted(progress)
    assert progress[-1] == len(sent)
    assert {partition for partition, _, _ in arrived} == set(range(PARTITIONS))
    for partition, key, _ in arrived:
        assert partition == (murmur2(key) & 0x7FFFFFFF) % PARTITIONS
    for number in range(PARTITIONS):
        expected = [value for _, key, value in sent if (murmur2(key) & 0x7FFFFFFF) % PARTITIONS == number]
        assert [value for partition, _, value in arrived if partition == number] == expected


def test_a_paced_sender_that_is_behind_sends_what_it_has_without_waiting_for_full_batches(settings: Settings) -> None:
    topic, acknowledged = create_topic(settings.kafka), list[int]()

    def slow_source() -> Iterator[TimedMessage]:
        for number in range(10_000):
            if acknowledged:
                return
            time.sleep(0.001)
            yield 0, b"key", b"value %d" % number

    rate = Steady(1_000_000.0)
    sent = produce(settings.kafka, topic, slow_source(), rate, lambda now: acknowledged.append(now.acknowledged)).sent
    assert 0 < sent < 10_000


def test_a_missing_topic_is_named_and_not_created(settings: Settings) -> None:
    with pytest.raises(
        UsageError, match=rf"topic {settings.kafka.events_topics[0]} does not exist .* `salespulse topics`"
    ):
        produce(settings.kafka, settings.kafka.events_topics[0], simulated(1))
    with admin_client(settings.kafka) as admin:
        assert settings.kafka.events_topics[0] not in admin.list_topics()


def test_an_absent_broker_is_one_line_with_its_address() -> None:
    with pytest.raises(Unavailable, match=r"^Kafka at 127.0.0.1:1 \(PLAINTEXT\): .*is it running"):
        produce(KafkaSettings(bootstrap="127.0.0.1:1"), "crm.events", simulated(1))


class RefusingClient:
    """Takes batches and fails every one after the first, as a broker does that goes away."""

    def __init__(self) -> None:
        self.taken = 0

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(100_000, 0, is_transactional=0, key_serializer=None, value_serializer=None)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> "asyncio.Future[str]":
        self.taken += 1
        done = asyncio.get_running_loop().create_future()
        if self.taken == 1:
            done.set_result(f"{topic} {partition} {batch.record_count()}")
        else:
            done.set_exception(KafkaTimeoutError("no answer"))
        await asyncio.sleep(0)
        return done


def test_what_the_broker_did_not_acknowledge_is_reported_with_counts() -> None:
    sent = simulated(20_000)

    async def attempt() -> None:
        await send_all(PartitionBatches(RefusingClient(), "crm.events", [0], lambda _: None), sent, FullSpeed())

    with pytest.raises(Unavailable, match=r"^topic crm.events: (\d+) of (\d+) messages .* KafkaTimeoutError") as caught:
        asyncio.run(attempt())
    acknowledged, tried = map(int, re.findall(r"\d+", str(caught.value))[:2])
    assert 0 < acknowledged < tried < len(sent)


def test_reps_are_keyed_by_rep_and_events_by_customer() -> None:
    simulator = Simulator(5, START_US)
    reps = list(from_messages(simulator.directory()))
    assert [(at_us, key) for at_us, key, _ in reps[:2]] == [(START_US, b"rep-001"), (START_US, b"rep-002")]
    events = list(islice(simulator.events(), 50))
    assert [key for _, key, _ in from_messages(events)] == [event.customer_id.encode() for event in events]


class Wall:
    """A wall clock that a test moves."""

    def __init__(self) -> None:
        self.us = START_US

    def __call__(self) -> int:
        return self.us


def test_a_steady_pace_spreads_messages_evenly_and_catches_up_after_a_pause() -> None:
    wall = Wall()
    pace = Steady(1000, wall)
    left: Counter[int] = Counter()
    for step_us in (0, 400, 1000, 1500, 2000, 10_000):
        wall.us = START_US + step_us
        while pace.wait_us(0) <= 0:
            left[step_us] += 1
    assert left == {0: 1, 1000: 1, 2000: 1, 10_000: 8}
    assert pace.wait_us(0) == 1000


def test_a_live_pace_waits_in_the_walls_time_until_the_clock_shows_the_instant() -> None:
    wall = Wall()
    origin = moment(START_US)
    clock = Clock(ClockSettings(mode="scaled", at=origin, wall_origin=origin, speed=60.0), wall)
    pace = Live(clock, wall)
    assert pace.wait_us(START_US + 60 * SECOND_US) == SECOND_US
    wall.us += SECOND_US
    assert pace.wait_us(START_US + 60 * SECOND_US) == 0
    assert pace.wait_us(START_US) < 0


def test_live_needs_a_clock_that_runs() -> None:
    with pytest.raises(UsageError, match="clock that runs"):
        Live(Clock(ClockSettings(mode="fixed", at=moment(START_US))))


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="rate 0"):
        Steady(0)


def test_lines_are_the_values_and_a_pace_is_kept_for_files_too() -> None:
    sent = simulated(300)
    stream = io.BytesIO()
    delivery = write_lines(sent, stream, Steady(100_000))
    assert stream.getvalue().splitlines() == [value for _, _, value in sent]
    assert delivery.sent == delivery.acknowledged == len(sent)
    assert delivery.sent_bytes == len(stream.getvalue()) - len(sent)


def test_full_speed_never_waits() -> None:
    assert FullSpeed().wait_us(START_US * 2) == 0
