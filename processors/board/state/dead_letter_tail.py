"""The newest dead letters, read from their topic while somebody looks at them."""

import asyncio
import re
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from processors.core.time.instants import rfc3339
from processors.kafka.admin import partition_counts
from processors.kafka.connection import async_options, first_line
from schemas.errors import Unavailable

_DIGITS = re.compile("[0-9]{1,12}")

MAX_VALUE_CHARACTERS = 2000
"""Longer values are cut: a record may be half a mebibyte."""
POLL_SECONDS = 5.0
"""Pause between two reads while somebody looks."""
INTEREST_SECONDS = 10.0
"""Reading stops when nobody has asked for this long."""
FRESH_SECONDS = 1.0
"""`fresh` does not read again within this time."""
FIRST_READ_TIMEOUT_SECONDS = 2.0
"""How long `latest` waits for the first read, which takes about a second."""
REQUEST_TIMEOUT_MS = 5000
POLL_TIMEOUT_MS = 1000
READ_TIMEOUT_SECONDS = 10.0


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter: the rejected record, the reason, and where it came from."""

    at: str
    """When it was written."""
    reason: str
    detail: str
    topic: str | None
    partition: str | None
    offset: str | None
    """Of the rejected record; null for an event that was rejected later."""
    key: str
    value: str
    """The first 2000 characters of the record."""
    value_bytes: int
    """Length of the whole record."""
    letter: str
    """Position on the dead letter topic: partition@offset."""

    @property
    def origin(self) -> str:
        """Where the record came from: topic/partition@offset."""
        return f"{self.topic or '?'}/{self.partition or '?'}@{self.offset or '?'}"


class DeadLetterSnapshot(msgspec.Struct, frozen=True):
    """The result of the last read."""

    items: tuple[Letter, ...] = ()
    """Newest first."""
    read: bool = False
    """Whether any read has succeeded."""
    failure: str | None = None
    """Why the last read failed; the items are then from the read before."""


class DeadLetterTail:
    """Keeps the newest dead letters, and reads on while somebody looks."""

    def __init__(self, kafka: KafkaSettings, kept: int) -> None:
        """`kept`: how many to keep; 0 never reads Kafka."""
        self.kept = kept
        self._kafka = kafka
        self._letters = DeadLetterSnapshot(read=kept == 0)
        self._newest: deque[tuple[tuple[int, int, int], Letter]] = deque(maxlen=kept)
        self._next: dict[TopicPartition, int] = {}
        self._asked = asyncio.Event()
        self._tried = asyncio.Event()
        self._asked_at = 0.0
        self._read_at = -FRESH_SECONDS
        self._reading = asyncio.Lock()

    async def latest(self) -> DeadLetterSnapshot:
        """The letters as last read. Asking keeps `run` reading.

        Waits for the first read: a page that was opened before the board restarted would lose its letters otherwise.
        """
        self._asked_at = time.monotonic()
        self._asked.set()
        if self.kept:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._tried.wait(), FIRST_READ_TIMEOUT_SECONDS)
        return self._letters

    async def fresh(self) -> DeadLetterSnapshot:
        """Read now; the letters of the read before, with the failure, if that fails."""
        async with self._reading:
            if self.kept and time.monotonic() - self._read_at >= FRESH_SECONDS:
                await self._try()
                self._read_at = time.monotonic()
        return self._letters

    async def run(self) -> None:
        """Read while somebody looks, until cancelled. Kafka may be away at any time."""
        while True:
            await self._asked.wait()
            await self.fresh()
            await asyncio.sleep(POLL_SECONDS)
            if time.monotonic() - self._asked_at > INTEREST_SECONDS:
                self._asked.clear()

    async def _try(self) -> None:
        try:
            await asyncio.wait_for(self._read(), READ_TIMEOUT_SECONDS)
            failure = None
        except (KafkaError, Unavailable, TimeoutError, OSError) as error:
            failure = f"Kafka at {self._kafka.bootstrap}: {first_line(error)}"
        items = tuple(letter for _, letter in sorted(self._newest, key=lambda pair: pair[0], reverse=True))
        self._letters = DeadLetterSnapshot(items, read=self._letters.read or failure is None, failure=failure)
        self._tried.set()

    async def _read(self) -> None:
        """Continue where the last read ended, even if it was cut short. Raises Unavailable, KafkaError."""
        topic = self._kafka.dead_letters_topic
        count = (await partition_counts(self._kafka)).get(topic)
        if count is None:
            raise Unavailable(f"it has no topic {topic}: `salespulse topics` creates it")
        options = async_options(self._kafka)
        consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            await consumer.start()
            consumer.assign([TopicPartition(topic, number) for number in range(count)])
            await self._read_on(consumer)
        finally:
            await consumer.stop()

    async def _read_on(self, consumer: AIOKafkaConsumer) -> None:
        partitions = sorted(consumer.assignment())
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        if any(
            self._next.get(partition, 0) > ends[partition] for partition in partitions
        ):  # the topic was deleted and created again
            self._newest.clear()
            self._next.clear()
        for partition in partitions:
            consumer.seek(partition, max(begins[partition], ends[partition] - self.kept, self._next.get(partition, 0)))
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for partition, batch in (await consumer.getmany(timeout_ms=POLL_TIMEOUT_MS)).items():
                self._keep(batch)
                self._next[partition] = batch[-1].offset + 1

    def _keep(self, records: Iterable[ConsumerRecord[bytes, bytes]]) -> None:
        for record in records:
            self._newest.append(((record.timestamp, record.partition, record.offset), _letter(record)))


def _letter(record: ConsumerRecord[bytes, bytes]) -> Letter:
    headers = {name: (raw or b"").decode("utf-8", "replace") for name, raw in record.headers}
    value = record.value or b""
    return Letter(
        at=rfc3339(record.timestamp * 1000),
        reason=headers.get("reason", "?"),
        detail=headers.get("detail", ""),
        topic=headers.get("topic"),
        partition=headers.get("partition"),
        offset=headers.get("offset"),
        key=(record.key or b"")[:MAX_VALUE_CHARACTERS].decode("utf-8", "replace"),
        value=value[: 4 * MAX_VALUE_CHARACTERS].decode("utf-8", "replace")[:MAX_VALUE_CHARACTERS],
        value_bytes=_length(headers.get("value_bytes"), len(value)),
        letter=f"{record.partition}@{record.offset}",
    )


def _length(header: str | None, known: int) -> int:
    """Length of the whole record by its header; `known` if the header is missing or malformed."""
    return int(header) if header is not None and _DIGITS.fullmatch(header) else known
