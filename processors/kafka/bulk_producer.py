"""Sends many messages to a Kafka topic, or writes them to a stream, at full speed or paced.

aiokafka gets whole batches. Measured on one core, that is 500,000 small messages a second; with the producer of
kafka-python, whose bookkeeping per record is the limit, it is 25,000.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import lru_cache
from math import inf
from typing import Any, BinaryIO

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed
from aiokafka.partitioner import murmur2

from config.settings import KafkaSettings
from processors.core.time.instants import SECOND_US
from processors.kafka.connection import blocking_options, detail_of, unreachable
from processors.kafka.pacing import FullSpeed, Pace
from processors.kafka.timed_messages import TimedMessage
from schemas.errors import Unavailable, UsageError

MAX_BATCH_BYTES = 256 * 1024
LINGER_US = 5_000
"""The shortest pause of a paced sender. A message leaves at most this late, and requests stay few."""
MAX_DELAY_SECONDS = 0.02
"""When a paced sender is behind and never pauses, a message still leaves after this at most."""
_POSITIVE = 0x7FFFFFFF


class SendProgress(msgspec.Struct):
    """How much was sent and acknowledged."""

    sent: int = 0
    acknowledged: int = 0
    sent_bytes: int = 0


OnProgress = Callable[[SendProgress], None]


def produce(
    kafka: KafkaSettings,
    topic: str,
    outgoing: Iterable[TimedMessage],
    pace: Pace | None = None,
    on_progress: OnProgress | None = None,
) -> SendProgress:
    """Send messages and wait until all are acknowledged; calls `on_progress` after acknowledgements.

    A key goes to the partition that Kafka's own clients choose. Raises Unavailable when the broker cannot be reached or
    does not acknowledge, UsageError when the topic is missing.
    """
    return asyncio.run(_produce(kafka, topic, outgoing, pace or FullSpeed(), on_progress or _ignore))


def write_lines(outgoing: Iterable[TimedMessage], stream: BinaryIO, pace: Pace | None = None) -> SendProgress:
    """Write the values as lines. A paced value is flushed as soon as it is due."""
    pace, delivery = pace or FullSpeed(), SendProgress()
    for at_us, _, value in outgoing:
        while (wait_us := pace.wait_us(at_us)) > 0:
            stream.flush()
            time.sleep(wait_us / SECOND_US)
        stream.write(value + b"\n")
        delivery.sent += 1
        delivery.sent_bytes += len(value)
    stream.flush()
    delivery.acknowledged = delivery.sent
    return delivery


class PartitionBatches:
    """The batches being filled, one for each partition of a topic."""

    def __init__(self, client: Any, topic: str, partitions: list[int], on_progress: OnProgress) -> None:
        self.delivery = SendProgress()
        self.topic = topic
        self._client = client
        self._on_progress = on_progress
        self._filling: dict[int, Any] = {}
        self._in_flight: set[asyncio.Future[Any]] = set()
        self._failure: BaseException | None = None
        self._partition = lru_cache(1_000_000)(lambda key: partitions[(murmur2(key) & _POSITIVE) % len(partitions)])

    async def add(self, key: bytes, value: bytes) -> None:
        """Add a message; raises the error of an earlier one."""
        partition = self._partition(key)
        batch = self._filling.get(partition)
        if batch is None or batch.append(timestamp=None, key=key, value=value) is None:
            await self._send(partition)
            batch = self._filling[partition] = self._client.create_batch()
            batch.append(timestamp=None, key=key, value=value)
        self.delivery.sent += 1
        self.delivery.sent_bytes += len(value)

    async def flush(self) -> None:
        """Send all batches, without waiting for acknowledgements."""
        for partition in list(self._filling):
            await self._send(partition)

    async def finish(self) -> None:
        """Send all batches and wait for every acknowledgement."""
        await self.flush()
        if self._in_flight:
            await asyncio.wait(self._in_flight)
        self._raise_failure()

    async def _send(self, partition: int) -> None:
        self._raise_failure()
        batch = self._filling.pop(partition, None)
        if batch is not None:
            future = await self._client.send_batch(batch, self.topic, partition=partition)
            self._in_flight.add(future)
            future.add_done_callback(lambda done: self._acknowledge(done, batch.record_count()))

    def _acknowledge(self, done: "asyncio.Future[Any]", records: int) -> None:
        self._in_flight.discard(done)
        failure = ProducerClosed() if done.cancelled() else done.exception()
        if failure is not None:
            self._failure = self._failure or failure
            return
        self.delivery.acknowledged += records
        self._on_progress(self.delivery)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


async def send_all(batches: PartitionBatches, outgoing: Iterable[TimedMessage], pace: Pace) -> SendProgress:
    """Send messages in these batches and wait for every acknowledgement; raises Unavailable."""
    due = inf if isinstance(pace, FullSpeed) else time.monotonic()
    try:
        for at_us, key, value in outgoing:
            while (wait_us := pace.wait_us(at_us)) > 0:
                await batches.flush()
                await asyncio.sleep(max(wait_us, LINGER_US) / SECOND_US)
            await batches.add(key, value)
            if time.monotonic() > due:
                await batches.flush()
                await asyncio.sleep(0)
                due = time.monotonic() + MAX_DELAY_SECONDS
        await batches.finish()
    except KafkaError as error:
        delivery = batches.delivery
        raise Unavailable(
            f"topic {batches.topic}: {delivery.acknowledged} of {delivery.sent} messages were acknowledged, then "
            f"{type(error).__name__}{detail_of(error)}; sending them all again does no harm"
        ) from error
    return batches.delivery


async def _produce(
    kafka: KafkaSettings, topic: str, outgoing: Iterable[TimedMessage], pace: Pace, on_progress: OnProgress
) -> SendProgress:
    async with _client(kafka) as client:
        partitions = await _partitions(client, topic, kafka)
        return await send_all(PartitionBatches(client, topic, partitions, on_progress), outgoing, pace)


@asynccontextmanager
async def _client(kafka: KafkaSettings) -> AsyncIterator[Any]:
    options = blocking_options(kafka)
    del options["bootstrap_timeout_ms"]
    client = AIOKafkaProducer(**options, acks="all", max_batch_size=MAX_BATCH_BYTES)
    try:
        await client.start()
    except KafkaError as error:
        await client.stop()
        raise unreachable(kafka, error) from error
    try:
        yield client
    finally:
        await client.stop()


async def _partitions(client: Any, topic: str, kafka: KafkaSettings) -> list[int]:
    """The partitions of a topic. Asks for all topics, because asking for a missing one may create it."""
    cluster = await client.client.fetch_all_metadata()
    partitions = cluster.partitions_for_topic(topic)
    if not partitions:
        raise UsageError(f"topic {topic} does not exist at {kafka.bootstrap}: `salespulse topics` creates it")
    return sorted(partitions)


def _ignore(delivery: SendProgress) -> None:
    """Ignore the progress."""
