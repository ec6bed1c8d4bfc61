"""What a fetch brought, read so that no batch can stop, mislead or overfill who reads it.

Both Kafka clients walk a `RecordSet`. A batch that cannot be read is a stretch of offsets that is reported, and what
comes after it is read.
"""

import struct
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatch

from processors.sinks.batches import HEADER, PRESENT, LegacyBatch, PresentBatch, RecordBatch, Report
from processors.sinks.frames import BatchHeader, Stretch
from processors.sinks.legacy_batches import OVERHEAD_BYTES, codec_of, is_intact

LENGTH = struct.Struct(">i")
LENGTH_AT, MAGIC_AT = 8, 16
LEAST_LENGTH = 14
"""Of a message in the oldest format, behind offset and length."""


class RecordSet:
    """What one fetch brought of a partition, batch by batch."""

    ceiling = 64 * 1024 * 1024
    """The most bytes of a decompressed batch: `kafka.max_batch_bytes`, for all readers of a process."""

    def __init__(self, raw: Any) -> None:
        self._raw = memoryview(raw or b"")
        self._at = 0
        self.position = 0
        """The offset that was asked for: an unreadable batch must lead beyond it."""
        self.report: Report = _nobody
        self.native = True

    def size_in_bytes(self) -> int:
        """With a last batch that was cut off."""
        return len(self._raw)

    def has_next(self) -> bool:
        """Whether another whole batch is here."""
        left = len(self._raw) - self._at
        return left >= OVERHEAD_BYTES and self._length() + OVERHEAD_BYTES <= left

    def next_batch(self) -> Any:
        """The next RecordBatch; None: there is none."""
        if not self.has_next():
            return None
        start, length = self._at, self._length()
        # Behind an impossible length nothing can be found.
        self._at = start + OVERHEAD_BYTES + length if length >= LEAST_LENGTH else len(self._raw)
        batch = _batch(self._raw[start : self._at], self)
        self._bound(batch)
        if batch.why is not None:
            self.report(batch.stretch(batch.base_offset, batch.why))
        return batch

    def _bound(self, batch: RecordBatch) -> None:
        """Hold what a batch claims to cover against where we are and where the next one begins."""
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
    if len(raw) > MAGIC_AT and raw[MAGIC_AT] < PRESENT:
        return _legacy(raw, source)
    header = BatchHeader(*HEADER.unpack_from(raw)) if len(raw) >= HEADER.size else None
    native = None if header is None else DefaultRecordBatch(raw)
    why = _fault(raw, header, native)
    if header is not None and why is None:
        return PresentBatch(raw, source, header, native)
    return _unreadable(RecordBatch(raw, source, _first(raw), _first(raw) + _span(header, native)), why)


def _span(header: BatchHeader | None, native: Any) -> int:
    """How many offsets an unreadable batch takes: when its checksum is wrong, rather too few than too many."""
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
    """What is wrong with a batch as a whole."""
    if header is None:
        return f"it has {len(raw)} bytes, fewer than a header"
    if header.length != len(raw) - OVERHEAD_BYTES:
        return f"its length of {header.length} bytes is impossible"
    if header.magic != PRESENT:
        return f"message format {header.magic} is unknown"
    if not native.validate_crc():
        return "its checksum is wrong"
    if not header.last_offset_delta >= 0 or header.records > header.last_offset_delta + 1:
        return f"it claims {header.records} records on {header.last_offset_delta + 1} offsets"
    return None


def _unreadable(batch: RecordBatch, why: str | None) -> RecordBatch:
    batch.why, batch.is_control_batch = why, True
    return batch


def _nobody(_stretch: Stretch) -> None:
    """Nobody asked."""
