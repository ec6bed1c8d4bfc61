"""The result of a fetch, parsed so that no batch can stop its reader, mislead it or exhaust its memory.

Both Kafka clients read a `RecordSet`. A batch that cannot be read is reported as a range of offsets, and the batches
after it are read.
"""

import struct
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatch

from processors.kafka.legacy_batches import OVERHEAD_BYTES, codec_of, is_intact
from processors.kafka.record_batches import (
    CURRENT_MAGIC,
    HEADER,
    CurrentBatch,
    LegacyBatch,
    OnUnreadable,
    RecordBatch,
)
from processors.kafka.record_frames import BatchHeader, UnreadableRange

LENGTH = struct.Struct(">i")
LENGTH_AT, MAGIC_AT = 8, 16
MIN_LENGTH = 14
"""The length of a message in the oldest format, without its offset and length."""


class RecordSet:
    """The batches that one fetch returned for a partition."""

    ceiling = 64 * 1024 * 1024
    """The largest decompressed batch in bytes: `kafka.max_batch_bytes`, for all readers of a process."""

    def __init__(self, raw: Any) -> None:
        self._raw = memoryview(raw or b"")
        self._at = 0
        self.position = 0
        """The next offset wanted. An unreadable batch must end beyond it, or its reader would never get on."""
        self.report: OnUnreadable = _ignore
        self.native = True

    def size_in_bytes(self) -> int:
        """All bytes, including a last batch that is incomplete."""
        return len(self._raw)

    def has_next(self) -> bool:
        """Whether another complete batch is here."""
        left = len(self._raw) - self._at
        return left >= OVERHEAD_BYTES and self._length() + OVERHEAD_BYTES <= left

    def next_batch(self) -> Any:
        """The next RecordBatch; None: there is none."""
        if not self.has_next():
            return None
        start, length = self._at, self._length()
        # After an impossible length, no further batch can be found.
        self._at = start + OVERHEAD_BYTES + length if length >= MIN_LENGTH else len(self._raw)
        batch = _batch(self._raw[start : self._at], self)
        self._bound(batch)
        if batch.why is not None:
            self.report(batch.unreadable(batch.base_offset, batch.why))
        return batch

    def _bound(self, batch: RecordBatch) -> None:
        """Limit the offsets that a batch claims to cover, by the position and by where the next batch begins."""
        if batch.why is not None:
            batch.next_offset = max(batch.next_offset, self.position + 1)
        if len(self._raw) - self._at >= OVERHEAD_BYTES:
            (following,) = struct.unpack_from(">q", self._raw, self._at)
            if batch.base_offset < following < batch.next_offset:
                batch.next_offset = following
        self.position = max(self.position, batch.next_offset)

    def _length(self) -> int:
        length: int = LENGTH.unpack_from(self._raw, self._at + LENGTH_AT)[0]
        return length


def _batch(raw: memoryview, source: RecordSet) -> RecordBatch:
    if len(raw) > MAGIC_AT and raw[MAGIC_AT] < CURRENT_MAGIC:
        return _legacy(raw, source)
    header = BatchHeader(*HEADER.unpack_from(raw)) if len(raw) >= HEADER.size else None
    native = None if header is None else DefaultRecordBatch(raw)
    why = _fault(raw, header, native)
    if header is not None and why is None:
        return CurrentBatch(raw, source, header, native)
    return _unreadable(RecordBatch(raw, source, _first(raw), _first(raw) + _span(header, native)), why)


def _span(header: BatchHeader | None, native: Any) -> int:
    """How many offsets an unreadable batch covers. If its checksum is wrong, rather too few than too many."""
    if header is None:
        return 1
    claimed = header.last_offset_delta + 1
    return max(claimed if native.validate_crc() else min(claimed, header.records), 1)


def _legacy(raw: memoryview, source: RecordSet) -> RecordBatch:
    offset = _first(raw)
    if not is_intact(raw):
        return _unreadable(RecordBatch(raw, source, offset, offset + 1), "its checksum is wrong")
    # A compressed one has the offset of its last record.
    first = min(source.position, offset) if codec_of(raw) else offset
    return LegacyBatch(raw, source, first, offset + 1)


def _first(raw: memoryview) -> int:
    offset: int = struct.unpack_from(">q", raw)[0]
    return offset


def _fault(raw: memoryview, header: BatchHeader | None, native: Any) -> str | None:
    """What is wrong with a batch as a whole; None: nothing."""
    if header is None:
        return f"it has {len(raw)} bytes, fewer than a header"
    if header.length != len(raw) - OVERHEAD_BYTES:
        return f"its length of {header.length} bytes is impossible"
    if header.magic != CURRENT_MAGIC:
        return f"message format {header.magic} is unknown"
    if not native.validate_crc():
        return "its checksum is wrong"
    if not header.last_offset_delta >= 0 or header.records > header.last_offset_delta + 1:
        return f"it claims {header.records} records on {header.last_offset_delta + 1} offsets"
    return None


def _unreadable(batch: RecordBatch, why: str | None) -> RecordBatch:
    batch.why, batch.is_control_batch = why, True
    return batch


def _ignore(_range: UnreadableRange) -> None:
    """Ignore the range."""
