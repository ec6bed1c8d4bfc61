"""Batches of the message formats v0 and v1: one message, or several of them compressed into one."""

import struct
import zlib
from collections.abc import Iterator

from processors.kafka.compression import UnreadableBatch, decompress
from processors.kafka.record_frames import FramedRecord

ENTRY = struct.Struct(">qiIbb")
"""Offset, length, checksum, format and attributes of a message."""
OVERHEAD_BYTES = 12
"""Of offset and length."""
CHECKED_AT = 16
"""The checksum is over everything from here on."""
CODEC, LOG_APPEND_TIME = 0x07, 0x08
NO_HEADERS = memoryview(b"\x00")


def codec_of(raw: memoryview) -> int:
    """How a message is compressed; 0: it is a single one."""
    return int(ENTRY.unpack_from(raw)[4]) & CODEC


def is_intact(raw: memoryview) -> bool:
    """Whether a message is as long as it must be and its checksum is right."""
    if len(raw) < ENTRY.size:
        return False
    _, length, checksum, _, _ = ENTRY.unpack_from(raw)
    return bool(length == len(raw) - OVERHEAD_BYTES and zlib.crc32(raw[CHECKED_AT:]) == checksum)


def messages(raw: memoryview, ceiling: int) -> Iterator[FramedRecord]:
    """The records of a message; raises UnreadableBatch, Unavailable."""
    offset, _, _, magic, _ = ENTRY.unpack_from(raw)
    codec = codec_of(raw)
    if not codec:
        yield _record(raw, offset)
        return
    _, _, _, value = _fields(raw)
    inner = memoryview(decompress(codec, value or memoryview(b""), ceiling))
    spans = _spans(inner)
    # In v1, the offsets within count from the first one, and the one outside is the last one's.
    shift = offset - _last_offset(inner) if magic else 0
    for start, end in spans:
        message = inner[start:end]
        if codec_of(message):
            raise UnreadableBatch("a compressed message within a compressed one")
        yield _record(message, ENTRY.unpack_from(message)[0] + shift)


def _spans(data: memoryview) -> Iterator[tuple[int, int]]:
    """Begin and end of each message of a set; raises UnreadableBatch where one is cut off."""
    at = 0
    while at < len(data):
        if len(data) - at < ENTRY.size:
            raise UnreadableBatch(f"a message of {len(data) - at} bytes")
        length = OVERHEAD_BYTES + int(ENTRY.unpack_from(data, at)[1])
        if not ENTRY.size <= length <= len(data) - at:
            raise UnreadableBatch(f"a message of {length} bytes where {len(data) - at} are left")
        yield at, at + length
        at += length


def _last_offset(inner: memoryview) -> int:
    last = 0
    for start, _ in _spans(inner):
        last = ENTRY.unpack_from(inner, start)[0]
    return last


def _record(raw: memoryview, offset: int) -> FramedRecord:
    timestamp, by_broker, key, value = _fields(raw)
    fields = [None if field is None else bytes(field) for field in (key, value)]
    return FramedRecord(offset, (timestamp, by_broker), fields[0], fields[1], NO_HEADERS)


def _fields(raw: memoryview) -> tuple[int, int, memoryview | None, memoryview | None]:
    """Timestamp (v0 has none: 0), whether it is the broker's, key and value."""
    _, _, _, magic, attributes = ENTRY.unpack_from(raw)
    at, timestamp = ENTRY.size, 0
    if magic:
        if len(raw) < at + 8:
            raise UnreadableBatch("a message without a timestamp")
        timestamp, at = struct.unpack_from(">q", raw, at)[0], at + 8
    key, at = _field(raw, at)
    value, _ = _field(raw, at)
    return timestamp, int(bool(attributes & LOG_APPEND_TIME)), key, value


def _field(raw: memoryview, at: int) -> tuple[memoryview | None, int]:
    if len(raw) < at + 4:
        raise UnreadableBatch("a message that is cut off")
    (length,) = struct.unpack_from(">i", raw, at)
    at += 4
    if length < 0:
        return None, at
    if length > len(raw) - at:
        raise UnreadableBatch(f"a field of {length} bytes where {len(raw) - at} are left")
    return raw[at : at + length], at + length
