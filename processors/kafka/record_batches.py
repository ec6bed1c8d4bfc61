"""The batches of a `RecordSet`: their records some at a time, and a report from where they cannot be read on.

aiokafka's C extension parses bodies of usual sizes, `record_frames` parses large and odd ones.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from operator import ge
from typing import Any, NamedTuple, Protocol

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch

from processors.kafka.compression import UnreadableBatch, decompress
from processors.kafka.legacy_batches import messages
from processors.kafka.record_frames import BatchHeader, FramedRecord, Record, UnreadableRange, framed

HEADER = struct.Struct(">qiibIhiqqqhii")
ATTRIBUTES_AT = 21
CURRENT_MAGIC = 2
"""The message format since Kafka 0.11."""
CODEC, TRANSACTIONAL, CONTROL = 0x07, 0x10, 0x20
MAX_NATIVE_BYTES = 1024 * 1024
"""Larger bodies are not for the C extension: it makes objects of all headers, and this size can hold half a million."""
CHUNK_RECORDS = 64
"""Records that are parsed and checked at a time."""
MARKER_KEY = struct.Struct(">hh")
"""Version and kind of a transaction marker."""
ABORT, COMMIT = 0, 1
NATIVE_ERRORS = (CorruptRecordException, UnicodeDecodeError, ValueError, OverflowError, MemoryError)
"""Raised by the C extension for records that it cannot parse."""

OnUnreadable = Callable[[UnreadableRange], None]


class BatchSource(Protocol):
    """What a batch needs of the RecordSet that it came in."""

    ceiling: int
    """The largest decompressed batch in bytes."""
    report: OnUnreadable
    """Called with each range of offsets that cannot be read."""
    native: bool
    """Whether records may be those of aiokafka's C extension, or must be ours."""


class Marker(NamedTuple):
    """The one record of a marker batch, as both clients ask for it."""

    key: bytes
    abort: bool


class RecordBatch:
    """A batch of any format. One that cannot be read looks like a transaction marker, which clients skip."""

    magic = CURRENT_MAGIC
    is_transactional = False
    is_control_batch = False
    """A marker, or unreadable."""
    is_abort = False
    leader_epoch = -1
    producer_id = -1
    why: str | None = None
    """Why it cannot be read at all."""
    is_dense = False
    """Whether each of its offsets has a record, since compaction has removed none."""
    opened_bytes = 0
    """Its size after decompression; 0 before it is read."""

    def __init__(self, raw: memoryview, source: BatchSource, base_offset: int, next_offset: int) -> None:
        self.raw = raw
        self.source = source
        self.base_offset = base_offset
        self.next_offset = next_offset

    @property
    def last_offset(self) -> int:
        """Of the last record that it has or had."""
        return self.next_offset - 1

    def unreadable(self, first: int, detail: str) -> UnreadableRange:
        """Its offsets from one on, as unreadable."""
        return UnreadableRange(first, self.last_offset, detail, bytes(self.raw))

    def validate_crc(self) -> bool:
        """A batch with a wrong one is among the unreadable."""
        return True

    def has_producer_id(self) -> bool:
        """Whether its producer sends transactions, or nothing twice."""
        return self.producer_id >= 0

    def __iter__(self) -> Iterator[Record]:
        return chain.from_iterable(self.chunks(self.source.report))

    def __next__(self) -> Marker:
        return Marker(MARKER_KEY.pack(0, ABORT if self.is_abort else COMMIT), self.is_abort)

    def chunks(self, report: OnUnreadable) -> Iterator[list[Record]]:
        """Its records, some at a time; from where they cannot be read on, its offsets are reported.

        Raises Unavailable when its codec is not installed.
        """
        if self.why is not None:
            report(self.unreadable(self.base_offset, self.why))
            return
        following = self.base_offset
        try:
            for chunk in self._parsed():
                if chunk:
                    following = self._end_of(chunk, following)
                    yield chunk
        except UnreadableBatch as error:
            if following < self.next_offset:
                report(self.unreadable(following, str(error)))

    def _parsed(self) -> Iterator[list[Record]]:
        """Chunks of records; raises UnreadableBatch, Unavailable."""
        return iter(())

    def _end_of(self, chunk: list[Record], following: int) -> int:
        """The offset after a chunk; raises UnreadableBatch when its offsets do not grow within those of the batch."""
        offsets = [record.offset for record in chunk]
        first, last = offsets[0], offsets[-1]
        gaps = first != following or last - first != len(offsets) - 1
        if (
            (gaps and self.is_dense)
            or first < following
            or last >= self.next_offset
            or any(map(ge, offsets, offsets[1:]))
        ):
            raise UnreadableBatch(
                f"its records have offsets from {min(offsets)} to {max(offsets)} out of order, "
                f"where those from {following} to {self.last_offset} are due"
            )
        return int(last) + 1


class CurrentBatch(RecordBatch):
    """A batch of format v2 whose header and checksum are right."""

    def __init__(self, raw: memoryview, source: BatchSource, header: BatchHeader, native: Any) -> None:
        super().__init__(raw, source, header.base_offset, header.base_offset + header.last_offset_delta + 1)
        self._header = header
        self._native = native
        self.leader_epoch = header.leader_epoch
        self.producer_id = header.producer_id
        self.is_transactional = bool(header.attributes & TRANSACTIONAL)
        self.is_control_batch = bool(header.attributes & CONTROL)
        self.is_dense = header.records == header.last_offset_delta + 1
        if self.is_control_batch:
            self._read_marker()

    def _read_marker(self) -> None:
        """Check that it is a real marker: records that only claim to be one would vanish without a trace."""
        try:
            key = next(framed(self._header, self._body())).key or b""
            self.is_abort = MARKER_KEY.unpack_from(key)[1] == ABORT
        except (UnreadableBatch, StopIteration, struct.error):
            self.why = "it claims to be a marker of transactions and is none"

    def _body(self) -> memoryview:
        codec = self._header.attributes & CODEC
        body = self.raw[HEADER.size :]
        opened = memoryview(decompress(codec, body, self.source.ceiling)) if codec else body
        self.opened_bytes = len(opened)
        return opened

    def _parsed(self) -> Iterator[list[Record]]:
        body = self._body()
        done = 0
        if self.source.native and len(body) <= MAX_NATIVE_BYTES:
            # The C extension refuses a second `iter`. A slice of it does not.
            records = islice(self._native if body.obj is self.raw.obj else _uncompressed(self.raw, body), None)
            while chunk := _some(records):
                done += len(chunk)
                yield chunk
            if done == self._header.records and self.is_dense:
                return
        # The C extension cannot go on after a record that it cannot parse, and does not say why. Our parser can.
        yield from _chunks(framed(self._header, body, done))


class LegacyBatch(RecordBatch):
    """A message of format v0 or v1 whose checksum is right, or several that are compressed into one."""

    def _parsed(self) -> Iterator[list[Record]]:
        return _chunks(messages(self.raw, self.source.ceiling))


def _uncompressed(raw: memoryview, body: memoryview) -> Any:
    """The C extension's parser over a batch as if it had never been compressed."""
    header = bytearray(raw[: HEADER.size])
    header[ATTRIBUTES_AT + 1] &= ~CODEC
    return DefaultRecordBatch(bytes(header) + body)


def _some(records: Iterator[Record]) -> list[Record]:
    """The next records, up to one that cannot be parsed."""
    chunk: list[Record] = []
    try:
        chunk.extend(islice(records, CHUNK_RECORDS))
    except NATIVE_ERRORS:
        return chunk
    return chunk


def _chunks(records: Iterable[FramedRecord]) -> Iterator[list[Record]]:
    """Records of our own parser in chunks; raises UnreadableBatch with the reason where it cannot go on."""
    remaining = iter(records)
    while True:
        chunk: list[Record] = []
        try:
            chunk.extend(islice(remaining, CHUNK_RECORDS))
        except UnreadableBatch:
            if chunk:
                yield chunk
            raise
        if not chunk:
            return
        yield chunk
