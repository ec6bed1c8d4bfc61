"""The newest dead letters, read from their topic when somebody wants to see them."""

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
from processors.core.instants import rfc3339
from processors.kafka.admin import partition_counts
from processors.kafka.connection import async_options, first_line
from schemas.errors import Unavailable

_DIGITS = re.compile("[0-9]{1,12}")

SHOWN_VALUE = 2000
"""So many characters of a record are kept: a record may be half a mebibyte."""
AGAIN_SECONDS = 5.0
"""The topic is read so often while somebody looks."""
ASKED_SECONDS = 10.0
"""Who has not asked for so long looks no more."""
FRESH_SECONDS = 1.0
"""What was read so recently is not read again for one who asks."""
FIRST_SECONDS = 2.0
"""Who looks before the first reading waits so long for it at most; it takes about one."""
REQUEST_MS = 5000
POLL_MS = 1000
LONGEST_READ_SECONDS = 10.0


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter: what could not count, why, and where it came from."""

    at: str
    """When it was written."""
    reason: str
    detail: str
    topic: str | None
    partition: str | None
    offset: str | None
    """Of the record that it is about; null for an event that turned out bad later."""
    key: str
    value: str
    """The first 2000 characters of the record."""
    value_bytes: int
    """How long the whole of it is."""
    letter: str
    """Its own place on the topic of dead letters: partition@offset."""

    @property
    def place(self) -> str:
        """Where the record came from: topic/partition@offset."""
        return f"{self.topic or '?'}/{self.partition or '?'}@{self.offset or '?'}"


class Letters(msgspec.Struct, frozen=True):
    """What was read last."""

    items: tuple[Letter, ...] = ()
    """Newest first."""
    read: bool = False
    """Whether the topic was ever read."""
    failure: str | None = None
    """Why it could not be read this time; the items are from the time before."""


class LatestDeadLetters:
    """Keeps so many of them, and what comes after while somebody looks and `run` runs."""

    def __init__(self, kafka: KafkaSettings, kept: int) -> None:
        """`kept`: with 0 Kafka is never asked."""
        self.kept = kept
        self._kafka = kafka
        self._letters = Letters(read=kept == 0)
        self._newest: deque[tuple[tuple[int, int, int], Letter]] = deque(maxlen=kept)
        self._next: dict[TopicPartition, int] = {}
        self._asked = asyncio.Event()
        self._tried = asyncio.Event()
        self._asked_at = 0.0
        self._read_at = -FRESH_SECONDS
        self._reading = asyncio.Lock()

    async def latest(self) -> Letters:
        """What is known; to ask is what has it read again.

        The first reading is waited for: a page that shows the letters of an earlier board would lose them meanwhile.
        """
        self._asked_at = time.monotonic()
        self._asked.set()
        if self.kept:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._tried.wait(), FIRST_SECONDS)
        return self._letters

    async def fresh(self) -> Letters:
        """What is there now, or what was read before with why there is nothing newer."""
        async with self._reading:
            if self.kept and time.monotonic() - self._read_at >= FRESH_SECONDS:
                await self._try()
                self._read_at = time.monotonic()
        return self._letters

    async def run(self) -> None:
        """Read whenever somebody looks, until cancelled. Kafka may be away at any time."""
        while True:
            await self._asked.wait()
            await self.fresh()
            await asyncio.sleep(AGAIN_SECONDS)
            if time.monotonic() - self._asked_at > ASKED_SECONDS:
                self._asked.clear()

    async def _try(self) -> None:
        try:
            await asyncio.wait_for(self._read(), LONGEST_READ_SECONDS)
            failure = None
        except (KafkaError, Unavailable, TimeoutError, OSError) as error:
            failure = f"Kafka at {self._kafka.bootstrap}: {first_line(error)}"
        items = tuple(letter for _, letter in sorted(self._newest, key=lambda one: one[0], reverse=True))
        self._letters = Letters(items, read=self._letters.read or failure is None, failure=failure)
        self._tried.set()

    async def _read(self) -> None:
        """Read on from where the last reading ended, also when that was cut short. Raises Unavailable, KafkaError."""
        topic = self._kafka.dead_letters_topic
        count = (await partition_counts(self._kafka)).get(topic)
        if count is None:
            raise Unavailable(f"it has no topic {topic}: `salespulse topics` creates it")
        options = async_options(self._kafka)
        consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, request_timeout_ms=REQUEST_MS)
        try:
            await consumer.start()
            consumer.assign([TopicPartition(topic, number) for number in range(count)])
            await self._read_on(consumer)
        finally:
            await consumer.stop()

    async def _read_on(self, consumer: AIOKafkaConsumer) -> None:
        parts = sorted(consumer.assignment())
        begins, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
        if any(self._next.get(part, 0) > ends[part] for part in parts):  # the topic was made anew
            self._newest.clear()
            self._next.clear()
        for part in parts:
            consumer.seek(part, max(begins[part], ends[part] - self.kept, self._next.get(part, 0)))
        while any([await consumer.position(part) < ends[part] for part in parts]):
            for part, batch in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                self._keep(batch)
                self._next[part] = batch[-1].offset + 1

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
        key=(record.key or b"")[:SHOWN_VALUE].decode("utf-8", "replace"),
        value=value[: 4 * SHOWN_VALUE].decode("utf-8", "replace")[:SHOWN_VALUE],
        value_bytes=_length(headers.get("value_bytes"), len(value)),
        letter=f"{record.partition}@{record.offset}",
    )


def _length(header: str | None, known: int) -> int:
    """How long the whole record was; what is there, where the header says nothing or is not ours."""
    return int(header) if header is not None and _DIGITS.fullmatch(header) else known
