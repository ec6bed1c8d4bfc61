"""The newest dead letters, read from their topic while somebody looks at them."""

import asyncio
import time

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from processors.core.instants import rfc3339
from processors.notifier.kafka import connection, line
from schemas.errors import Unavailable

SHOWN = 20
AGAIN_SECONDS = 5.0
"""The topic is read so often while somebody looks."""
ASKED_SECONDS = 10.0
"""Who has not asked for so long looks no more."""
REQUEST_MS = 5000
POLL_MS = 1000
LONGEST_READ_SECONDS = 10.0


class Letter(msgspec.Struct, frozen=True):
    """A dead letter, without the record itself: `salespulse dead-letters` shows that."""

    at: str
    """When it was written, RFC 3339."""
    reason: str
    detail: str
    place: str
    """Where the record came from: topic/partition@offset."""


class Letters(msgspec.Struct, frozen=True):
    """What was read last."""

    items: tuple[Letter, ...] = ()
    """Newest first."""
    read: bool = False
    """Whether the topic was ever read."""
    failure: str | None = None
    """Why it could not be read this time; the items are from the time before."""


class LatestDeadLetters:
    """Keeps them while `run` runs."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._letters = Letters()
        self._asked = asyncio.Event()
        self._asked_at = 0.0

    def latest(self) -> Letters:
        """What is known; to ask is what has it read again."""
        self._asked_at = time.monotonic()
        self._asked.set()
        return self._letters

    async def run(self) -> None:
        """Read whenever somebody looks, until cancelled. Kafka may be away at any time."""
        while True:
            await self._asked.wait()
            try:
                items = await asyncio.wait_for(self._read(), LONGEST_READ_SECONDS)
                self._letters = Letters(items, read=True)
            except (KafkaError, Unavailable, TimeoutError, OSError) as error:
                why = f"Kafka at {self._kafka.bootstrap}: {line(error)}"
                self._letters = msgspec.structs.replace(self._letters, failure=why)
            await asyncio.sleep(AGAIN_SECONDS)
            if time.monotonic() - self._asked_at > ASKED_SECONDS:
                self._asked.clear()

    async def _read(self) -> tuple[Letter, ...]:
        consumer = AIOKafkaConsumer(
            self._kafka.dead_letters_topic,
            **connection(self._kafka),
            group_id=None,
            enable_auto_commit=False,
            request_timeout_ms=REQUEST_MS,
        )
        try:
            await consumer.start()
            records = await _newest(consumer)
        finally:
            await consumer.stop()
        records.sort(key=lambda record: (record.timestamp, record.offset), reverse=True)
        return tuple(_letter(record) for record in records[:SHOWN])


async def _newest(consumer: AIOKafkaConsumer) -> list[ConsumerRecord[bytes, bytes]]:
    """The last SHOWN records of each partition."""
    parts = sorted(consumer.assignment())
    begins, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
    for part in parts:
        consumer.seek(part, max(begins[part], ends[part] - SHOWN))
    records: list[ConsumerRecord[bytes, bytes]] = []
    while any([await consumer.position(part) < ends[part] for part in parts]):
        for batch in (await consumer.getmany(timeout_ms=POLL_MS)).values():
            records.extend(batch)
    return records


def _letter(record: ConsumerRecord[bytes, bytes]) -> Letter:
    headers = {name: raw.decode("utf-8", "replace") for name, raw in record.headers}
    place = f"{headers.get('topic', '?')}/{headers.get('partition', '?')}@{headers.get('offset', '?')}"
    return Letter(rfc3339(record.timestamp * 1000), headers.get("reason", "?"), headers.get("detail", ""), place)
