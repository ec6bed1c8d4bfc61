"""The log of what each receiver was told: what makes "once" hold across crashes.

The topic of transitions says what is true, the offset of a receiver how far it has come, and this compacted log what
lies between: alerts beyond the offset that it was told of already, and alerts before it that are on hold. An alert's
entry goes when the alert has ended and its offset is committed.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from config.settings import KafkaSettings
from processors.kafka.connection import async_options
from processors.notifier.kafka import Headers
from processors.notifier.notices import Notice, Word
from schemas.codec import UNREADABLE

POLL_MS = 200
MAX_VALUE_BYTES = 512 * 1024
"""A longer value is cut, so that the letter fits into a message."""
MAX_KEY_BYTES = 64 * 1024
MAX_DETAIL = 1000

logger = logging.getLogger(__name__)


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """When a rep was sent the last digest (wall, microseconds since 1970)."""

    at_us: int


class Memory(NamedTuple):
    """The log of one receiver, read back."""

    words: dict[str, Word]
    paces: dict[str, int]
    """The last digest by rep (wall, microseconds since 1970)."""
    unreadable: int = 0
    """Records of the topic that are none of ours: they are passed over, and counted."""


_Key = tuple[str, Literal["alert", "rep"], str]
"""Receiver, `alert` or `rep`, and its id."""

_key = msgspec.json.Decoder(_Key)
_word = msgspec.json.Decoder(Word)
_pace = msgspec.json.Decoder(Pace)


class ToldLog:
    """The log of one receiver."""

    def __init__(self, kafka: KafkaSettings, topic: str, receiver: str, producer: AIOKafkaProducer) -> None:
        self._kafka = kafka
        self._topic = topic
        self._receiver = receiver
        self._producer = producer

    async def read(self) -> Memory:
        """Everything that is in the log; raises KafkaError."""
        memory, unreadable = Memory({}, {}), 0
        reader = AIOKafkaConsumer(**async_options(self._kafka), auto_offset_reset="earliest")
        await reader.start()
        try:
            tps = [TopicPartition(self._topic, number) for number in await self._producer.partitions_for(self._topic)]
            reader.assign(tps)
            await reader.seek_to_beginning(*tps)
            while not await at_end(reader, tps):
                for records in (await reader.getmany(timeout_ms=POLL_MS)).values():
                    unreadable += self._remember(memory, records)
        finally:
            await reader.stop()
        if unreadable:
            logger.warning("%s has %d records that no notifier wrote: they are passed over", self._topic, unreadable)
        return memory._replace(unreadable=unreadable)

    async def write(self, words: Iterable[Word], paces: Iterable[tuple[str, int]] = ()) -> None:
        """Return when the broker has it; raises KafkaError."""
        entries = [(("alert", word.alert_id), msgspec.json.encode(word)) for word in words]
        entries += [(("rep", rep_id), msgspec.json.encode(Pace(at_us=at_us))) for rep_id, at_us in paces]
        await self._send(entries)

    async def forget(self, alert_ids: Iterable[str]) -> None:
        """Take out alerts that have ended and are committed; raises KafkaError."""
        await self._send([(("alert", alert_id), None) for alert_id in alert_ids])

    async def _send(self, entries: Iterable[tuple[tuple[str, str], bytes | None]]) -> None:
        await asyncio.gather(
            *[
                await self._producer.send(self._topic, value, msgspec.json.encode((self._receiver, *key)))
                for key, value in entries
            ]
        )

    def _remember(self, memory: Memory, records: Iterable[ConsumerRecord]) -> int:
        """Take records in; gives how many could not be read."""
        unreadable = 0
        for record in records:
            try:
                self._remember_one(memory, record)
            except UNREADABLE:
                unreadable += 1
        return unreadable

    def _remember_one(self, memory: Memory, record: ConsumerRecord) -> None:
        receiver, kind, name = _key.decode(record.key or b"")
        if receiver != self._receiver:
            return
        known: dict[str, Any] = memory.paces if kind == "rep" else memory.words
        if record.value is None:
            known.pop(name, None)
        elif kind == "rep":
            known[name] = _pace.decode(record.value).at_us
        else:
            known[name] = _word.decode(record.value)


class DeadLetters:
    """What receivers refused for good, with the reason in the headers."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, source: str) -> None:
        """`source`: the topic that the transitions come from."""
        self._producer = producer
        self._topic = topic
        self._source = source

    async def refused(self, receiver: str, notice: Notice, detail: str) -> None:
        """A notice that a receiver rejected; returns when the broker has it, raises KafkaError."""
        key, value = notice.transition.alert_id.encode(), msgspec.json.encode(notice.transition)
        place = ("", "") if notice.place is None else (str(notice.place.partition), str(notice.place.offset))
        await self._send(key, value, (receiver, "rejected", detail[:MAX_DETAIL], *place))

    async def malformed(self, receiver: str, record: ConsumerRecord, detail: str) -> None:
        """A record that is no transition; returns when the broker has it, raises KafkaError."""
        place = (str(record.partition), str(record.offset))
        key, value = (record.key or b"")[:MAX_KEY_BYTES], (record.value or b"")[:MAX_VALUE_BYTES]
        await self._send(key, value, (receiver, "malformed", detail[:MAX_DETAIL], *place))

    async def _send(self, key: bytes | None, value: bytes | None, words: tuple[str, ...]) -> None:
        receiver, reason, detail, partition, offset = (word.encode("utf-8", "replace") for word in words)
        headers: Headers = (
            ("receiver", receiver),
            ("reason", reason),
            ("detail", detail),
            ("topic", self._source.encode()),
            ("partition", partition),
            ("offset", offset),
        )
        await self._producer.send_and_wait(self._topic, value, key, headers=list(headers))


async def at_end(reader: AIOKafkaConsumer, tps: Iterable[TopicPartition]) -> bool:
    """Whether everything was read. Fetched high watermarks tell; the embedded broker's list of offsets does not."""
    for tp in tps:
        highwater = reader.highwater(tp)
        if highwater is None or await reader.position(tp) < highwater:
            return False
    return True
