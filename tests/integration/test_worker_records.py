"""What the worker reads and writes below Faust, against the real broker: ends of partitions, and records in order."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from faust.types import TP

from config.settings import Settings
from processors.agents.kafka_writer import KafkaWriter, OutgoingRecord
from processors.kafka.partition_ends import true_ends
from processors.kafka.topics import ensure_topics
from tests.integration.stack import records

MAX_BATCH_BYTES = 900_000

Work = Callable[[KafkaWriter, AIOKafkaProducer], Awaitable[None]]


@pytest.fixture
def topic(settings: Settings) -> str:
    ensure_topics(settings)
    return settings.kafka.journal_topic


def run(settings: Settings, work: Work) -> None:
    """Do something with a producer as the worker's."""

    async def produce() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap, max_batch_size=MAX_BATCH_BYTES)
        await producer.start()
        try:
            await work(KafkaWriter(lambda: producer, partial(_given, producer)), producer)
        finally:
            await producer.stop()

    asyncio.run(produce())


async def _given(producer: AIOKafkaProducer) -> AIOKafkaProducer:
    return producer


async def ends_of(settings: Settings, topic: str) -> tuple[dict[TP, int], dict[TP, int]]:
    """What the broker answers, and where the partitions really end."""

    def new_reader() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest")

    places = [TP(topic, number) for number in range(settings.kafka.partitions)]
    async with new_reader() as reader:
        answered = {TP(*tp): end for tp, end in (await reader.end_offsets(places)).items()}
    return answered, await true_ends(new_reader, answered)


def test_records_are_written_in_order_and_the_last_offset_is_told(settings: Settings, topic: str) -> None:
    entries = [(b"key%d" % n, b"x" * 300_000) for n in range(7)]
    told: list[int] = []

    async def write(outgoing: KafkaWriter, _producer: AIOKafkaProducer) -> None:
        told.append(await outgoing.write(topic, 1, entries))
        told.append(await outgoing.write(topic, 1, [(b"key0", None), (b"key9", b"end")]))

    run(settings, write)

    assert told == [6, 8]
    found = records(settings, topic)
    assert [(record.partition, record.offset) for record in found] == [(1, n) for n in range(9)]
    assert [(record.key, record.value) for record in found] == [*entries, (b"key0", None), (b"key9", b"end")]


def test_messages_for_other_topics_carry_their_headers(settings: Settings, topic: str) -> None:
    letters = settings.kafka.dead_letters_topic
    assert topic

    async def send(outgoing: KafkaWriter, _producer: AIOKafkaProducer) -> None:
        pair = [OutgoingRecord(letters, b"k", b"v", (("reason", b"malformed"),)), OutgoingRecord(letters, b"t", None)]
        assert await outgoing.send(pair, letters) == {0: 2}

    run(settings, send)

    first, second = records(settings, letters)
    assert (first.key, first.value, list(first.headers)) == (b"k", b"v", [("reason", b"malformed")])
    assert (second.key, second.value) == (b"t", None)


def test_the_true_end_is_after_the_last_record_whatever_the_broker_answers(settings: Settings, topic: str) -> None:
    """The embedded broker answers with the offset after the first record of the last batch."""

    async def check(outgoing: KafkaWriter, _producer: AIOKafkaProducer) -> None:
        await outgoing.write(topic, 0, [(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
        await outgoing.write(topic, 2, [(b"a", b"1"), (b"a", None)])
        answered, ends = await ends_of(settings, topic)
        assert ends == {TP(topic, 0): 3, TP(topic, 1): 0, TP(topic, 2): 2, TP(topic, 3): 0}
        assert all(answered[place] <= end for place, end in ends.items())

    run(settings, check)
