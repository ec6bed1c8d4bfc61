"""The delivery log: what each receiver was sent. It keeps alerts from being sent twice across crashes.

The alerts topic holds what is true, the committed offset of a receiver how far it has come. This compacted log holds
what lies between: alerts beyond the offset that were sent already, and alerts before it that are on hold. An alert's
entry is deleted once the alert has ended and its offset is committed.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from config.settings import KafkaSettings
from processors.kafka.connection import async_options
from processors.notifier.delivery_record import DeliveryRecord
from schemas.codec import UNREADABLE

POLL_TIMEOUT_MS = 200

logger = logging.getLogger(__name__)


class DigestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """When a rep was sent the last digest (wall clock, microseconds since 1970)."""

    at_us: int


class LogContents(NamedTuple):
    """The log of one receiver, read back."""

    records: dict[str, DeliveryRecord]
    """By alert_id."""
    digests: dict[str, int]
    """The last digest by rep (wall clock, microseconds since 1970)."""
    unreadable: int = 0
    """Records that no notifier wrote: they are skipped, and counted."""


_LogKey = tuple[str, Literal["alert", "rep"], str]
"""Receiver, `alert` or `rep`, and its id."""

_key = msgspec.json.Decoder(_LogKey)
_record = msgspec.json.Decoder(DeliveryRecord)
_digest = msgspec.json.Decoder(DigestRecord)


class DeliveryLog:
    """The part of the log that belongs to one receiver."""

    def __init__(self, kafka: KafkaSettings, topic: str, receiver: str, producer: AIOKafkaProducer) -> None:
        self._kafka = kafka
        self._topic = topic
        self._receiver = receiver
        self._producer = producer

    async def read(self) -> LogContents:
        """Everything in the log; raises KafkaError."""
        contents, unreadable = LogContents({}, {}), 0
        reader = AIOKafkaConsumer(**async_options(self._kafka), auto_offset_reset="earliest")
        await reader.start()
        try:
            tps = [TopicPartition(self._topic, number) for number in await self._producer.partitions_for(self._topic)]
            reader.assign(tps)
            await reader.seek_to_beginning(*tps)
            while not await at_end(reader, tps):
                for records in (await reader.getmany(timeout_ms=POLL_TIMEOUT_MS)).values():
                    unreadable += self._add_all(contents, records)
        finally:
            await reader.stop()
        if unreadable:
            logger.warning("%s has %d records that no notifier wrote: they are skipped", self._topic, unreadable)
        return contents._replace(unreadable=unreadable)

    async def write(self, records: Iterable[DeliveryRecord], digests: Iterable[tuple[str, int]] = ()) -> None:
        """Return when the broker has them; raises KafkaError."""
        entries = [(("alert", record.alert_id), msgspec.json.encode(record)) for record in records]
        entries += [(("rep", rep_id), msgspec.json.encode(DigestRecord(at_us=at_us))) for rep_id, at_us in digests]
        await self._send(entries)

    async def delete(self, alert_ids: Iterable[str]) -> None:
        """Delete alerts that have ended and are committed; raises KafkaError."""
        await self._send([(("alert", alert_id), None) for alert_id in alert_ids])

    async def _send(self, entries: Iterable[tuple[tuple[str, str], bytes | None]]) -> None:
        await asyncio.gather(
            *[
                await self._producer.send(self._topic, value, msgspec.json.encode((self._receiver, *key)))
                for key, value in entries
            ]
        )

    def _add_all(self, contents: LogContents, records: Iterable[ConsumerRecord]) -> int:
        """Add records; returns how many could not be read."""
        unreadable = 0
        for record in records:
            try:
                self._add(contents, record)
            except UNREADABLE:
                unreadable += 1
        return unreadable

    def _add(self, contents: LogContents, record: ConsumerRecord) -> None:
        receiver, kind, name = _key.decode(record.key or b"")
        if receiver != self._receiver:
            return
        known: dict[str, Any] = contents.digests if kind == "rep" else contents.records
        if record.value is None:
            known.pop(name, None)
        elif kind == "rep":
            known[name] = _digest.decode(record.value).at_us
        else:
            known[name] = _record.decode(record.value)


async def at_end(reader: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> bool:
    """Whether everything was read, by the high watermarks of fetches: the embedded broker lists no end offsets."""
    for tp in tps:
        highwater = reader.highwater(tp)
        if highwater is None or await reader.position(tp) < highwater:
            return False
    return True
