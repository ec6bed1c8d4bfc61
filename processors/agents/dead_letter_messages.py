"""Dead letters: records that cannot count, unchanged, with the reason and their origin in headers."""

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
"""A longer value is cut so that the letter fits into a message. The header `value_bytes` has its full length."""
MAX_KEY_BYTES = 64 * 1024
"""A longer key is cut. The header `key_bytes` has its full length."""
MAX_DETAIL_CHARS = 1000


@dataclass(frozen=True)
class DeadLetterFactory:
    """Makes the dead letters of a consumer group. Another group on the same topics may judge differently."""

    topic: str
    group: str

    def of_record(self, source: tuple[str, int], record: Record, bad: BadRecord, base: int = 0) -> OutgoingRecord:
        """The dead letter of a record, with its key and value. `source`: topic and partition.

        The header `log_base` distinguishes offsets of a topic that was recreated from those of its earlier logs.
        """
        at_ms = str(record.timestamp or 0).encode()
        headers = (*self._headers(bad, source, record.offset), ("timestamp_ms", at_ms))
        if base:
            headers = (*headers, ("log_base", str(base).encode()))
        key, cut_key = _cut("key_bytes", record.key, MAX_KEY_BYTES)
        value, cut_value = _cut("value_bytes", record.value, MAX_VALUE_BYTES)
        return OutgoingRecord(self.topic, key, value, (*headers, *cut_key, *cut_value))

    def of_batch(
        self, source: tuple[str, int], unreadable: UnreadableRange, at_ms: int, base: int = 0
    ) -> OutgoingRecord:
        """The dead letter of offsets that cannot be read, with the raw batch.

        The header `last_offset` says where they end, `timestamp_ms` when they were read (milliseconds since 1970).
        """
        bad = BadRecord(Reason.UNREADABLE_BATCH, unreadable.detail)
        more: Headers = (("last_offset", str(unreadable.last).encode()), ("timestamp_ms", str(at_ms).encode()))
        if base:
            more = (*more, ("log_base", str(base).encode()))
        value, cut = _cut("value_bytes", unreadable.raw, MAX_VALUE_BYTES)
        return OutgoingRecord(self.topic, None, value, (*self._headers(bad, source, unreadable.first), *more, *cut))

    def of_event(
        self, source: tuple[str, int], event: Event, bad: BadRecord, offsets: Mapping[str, int]
    ) -> OutgoingRecord:
        """The dead letter of an event that was accepted and proved wrong later. Its own offset is no longer known.

        The header `next_offsets` says how far its partition was by then: JSON of each topic and its next offset.
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


def _cut(name: str, data: bytes | None, max_bytes: int) -> tuple[bytes | None, Headers]:
    """The bytes that fit and, if there were more, a header with their full number."""
    if data is None or len(data) <= max_bytes:
        return data, ()
    return data[:max_bytes], ((name, str(len(data)).encode()),)
