"""The log of what each receiver was told: what makes "once" hold across crashes.

The topic of transitions says what is true, the offset of a receiver how far it has come, and this compacted log what
lies between: alerts beyond the offset that it was told of already, and alerts before it that are on hold. An alert's
entry goes when the alert has ended and its offset is committed.
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from config.settings import KafkaSettings
from processors.notifier.kafka import Headers
from processors.notifier.notices import Notice, Word
from processors.sinks.kafka_client import connection

POLL_MS = 200


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """When a rep was sent the last digest (wall, microseconds since 1970)."""

    at_us: int


class Memory(NamedTuple):
    """The log of one receiver, read back."""

    words: dict[str, Word]
    paces: dict[str, int]
    """The last digest by rep (wall, microseconds since 1970)."""


_Key = tuple[str, str, str]
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
        memory = Memory({}, {})
        reader = AIOKafkaConsumer(**connection(self._kafka), auto_offset_reset="earliest")
        await reader.start()
        try:
            tps = [TopicPartition(self._topic, number) for number in await self._producer.partitions_for(self._topic)]
            reader.assign(tps)
            await reader.seek_to_beginning(*tps)
            while not await at_end(reader, tps):
                for records in (await reader.getmany(timeout_ms=POLL_MS)).values():
                    self._remember(memory, records)
        finally:
            await reader.stop()
        return memory

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

    def _remember(self, memory: Memory, records: Iterable[ConsumerRecord]) -> None:
        for record in records:
            receiver, kind, name = _key.decode(record.key)
            if receiver != self._receiver:
                continue
            if kind == "rep":
                memory.paces[name] = _pace.decode(record.value).at_us
            elif record.value is None:
                memory.words.pop(name, None)
            else:
                memory.words[name] = _word.decode(record.value)


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
        await self._send(key, value, (receiver, "rejected", detail, *place))

    async def malformed(self, receiver: str, record: ConsumerRecord, detail: str) -> None:
        """A record that is no transition; returns when the broker has it, raises KafkaError."""
        place = (str(record.partition), str(record.offset))
        await self._send(record.key, record.value, (receiver, "malformed", detail, *place))

    async def _send(self, key: bytes | None, value: bytes | None, words: tuple[str, ...]) -> None:
        receiver, reason, detail, partition, offset = (word.encode() for word in words)
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
