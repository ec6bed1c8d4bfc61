"""Dead letters: records that cannot count, as they came, with the reason and where they came from as headers."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from processors.agents.fetching import Record
from processors.agents.kafka_writer import Headers, OutgoingRecord
from processors.kafka.record_frames import UnreadableRange
from schemas import codec
from schemas.errors import BadRecord, Reason
from schemas.events import Event

MAX_VALUE_BYTES = 512 * 1024
"""A longer value is cut, so that the letter fits into a message; its length is in the header `value_bytes`."""
MAX_KEY_BYTES = 64 * 1024
"""The same for the key, whose length is in the header `key_bytes` then."""
MAX_DETAIL_CHARS = 1000


@dataclass(frozen=True)
class DeadLetterFactory:
    """What a consumer group has to say on its topic: another group on the same topic may judge otherwise."""

    topic: str
    group: str

    def of_record(self, source: tuple[str, int], record: Record, bad: BadRecord, base: int = 0) -> OutgoingRecord:
        """The dead letter of a record from a source topic and partition: key and value as they were.

        The header `log_base` tells offsets of a topic that was made anew from those of its earlier logs.
        """
        at_ms = str(record.timestamp or 0).encode()
        headers = (*self._headers(bad, source, record.offset), ("timestamp_ms", at_ms))
        if base:
            headers = (*headers, ("log_base", str(base).encode()))
        key, cut_key = _cut("key_bytes", record.key, MAX_KEY_BYTES)
        value, cut_value = _cut("value_bytes", record.value, MAX_VALUE_BYTES)
        return OutgoingRecord(self.topic, key, value, (*headers, *cut_key, *cut_value))

    def of_batch(self, source: tuple[str, int], stretch: UnreadableRange, at_ms: int, base: int = 0) -> OutgoingRecord:
        """The dead letter of offsets that cannot be read: the batch as it came.

        The header `last_offset` says where they end, `timestamp_ms` when they were met.
        """
        bad = BadRecord(Reason.UNREADABLE_BATCH, stretch.detail)
        more: Headers = (("last_offset", str(stretch.last).encode()), ("timestamp_ms", str(at_ms).encode()))
        if base:
            more = (*more, ("log_base", str(base).encode()))
        value, cut = _cut("value_bytes", stretch.raw, MAX_VALUE_BYTES)
        return OutgoingRecord(self.topic, None, value, (*self._headers(bad, source, stretch.first), *more, *cut))

    def of_event(
        self, source: tuple[str, int], event: Event, bad: BadRecord, offsets: Mapping[str, int]
    ) -> OutgoingRecord:
        """The dead letter of an event that was accepted and turned out bad later; its offset is no longer known.

        The header `next_offsets` says how far its partition was by then: JSON of each topic and the offset to come.
        """
        headers = (*self._headers(bad, source, None), ("next_offsets", msgspec.json.encode(offsets)))
        return OutgoingRecord(self.topic, event.customer_id.encode(), codec.encode(event), headers)

    def _headers(self, bad: BadRecord, source: tuple[str, int], offset: int | None) -> Headers:
        topic, partition = source
        fields = {
            "reason": bad.reason,
            "detail": bad.detail[:MAX_DETAIL_CHARS],
            "topic": topic,
            "partition": str(partition),
        }
        if offset is not None:
            fields["offset"] = str(offset)
        fields["group"] = self.group
        return tuple((name, text.encode("utf-8", "replace")) for name, text in fields.items())


def _cut(name: str, data: bytes | None, most: int) -> tuple[bytes | None, Headers]:
    """Bytes that fit, and a header with how many there were if that is fewer."""
    if data is None or len(data) <= most:
        return data, ()
    return data[:most], ((name, str(len(data)).encode()),)
