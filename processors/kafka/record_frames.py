"""Parses the records of a batch and checks every length, for batches on which a client's own parser gives up.

A record with odd headers (not UTF-8, or a million of them) still counts: headers are parsed only on demand.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from processors.kafka.compression import UnreadableBatch

MAX_VARINT_BYTES = 10
LAST_VARINT_BYTE = 0x80
"""A byte below this is the last of a number."""
MAX_HEADERS = 10_000
"""Further headers of a record are ignored: a batch could hold millions of empty ones."""
LOG_APPEND_TIME = 0x08

Record = Any
"""A record, ours or that of a Kafka client: offset, timestamp, key, value and headers."""


class UnreadableRange(NamedTuple):
    """Offsets whose records cannot be read."""

    first: int
    last: int
    detail: str
    raw: bytes
    """The unchanged batch."""


class BatchHeader(NamedTuple):
    """The header of a batch in format v2."""

    base_offset: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    records: int


class FramedRecord:
    """A record with the attributes that both Kafka clients expect."""

    __slots__ = ("_headers", "key", "offset", "size_in_bytes", "timestamp", "timestamp_type", "value")

    checksum = None

    def __init__(
        self, offset: int, times: tuple[int, int], key: bytes | None, value: bytes | None, headers: memoryview
    ) -> None:
        """`times`: milliseconds since 1970, and 1 if they are the broker's. `headers`: as they are on the wire."""
        self.offset = offset
        self.timestamp, self.timestamp_type = times
        self.key = key
        self.value = value
        self._headers = headers
        self.size_in_bytes = len(key or b"") + len(value or b"") + len(headers)

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """Names and values, up to the first that cannot be read. Bytes of a name that are not UTF-8 are replaced."""
        found: list[tuple[str, bytes | None]] = []
        try:
            count, at = varint(self._headers, 0)
            for _ in range(min(count, MAX_HEADERS)):
                name, at = _field(self._headers, at)
                value, at = _field(self._headers, at)
                found.append(((name or b"").decode("utf-8", "replace"), value))
        except UnreadableBatch:
            return found
        return found

    def validate_crc(self) -> bool:
        """True: the checksum of its batch was checked."""
        return True


def framed(header: BatchHeader, body: memoryview, skip: int = 0) -> Iterator[FramedRecord]:
    """The records of a batch without the first `skip`; raises UnreadableBatch at the first that cannot be parsed."""
    at = 0
    for number in range(1, header.records + 1):
        length, at = varint(body, at)
        if not 0 < length <= len(body) - at:
            raise UnreadableBatch(
                f"record {number} of {header.records}: {length} bytes where {len(body) - at} are left"
            )
        if number > skip:
            yield _record(header, body[at : at + length])
        at += length
    if at != len(body):
        raise UnreadableBatch(f"{len(body) - at} bytes are left after its last record")


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """A zigzag number and the position after it; raises UnreadableBatch."""
    raw = shift = 0
    for position in range(at, min(at + MAX_VARINT_BYTES, len(data))):
        byte: int = data[position]
        raw |= (byte & ~LAST_VARINT_BYTE) << shift
        if byte < LAST_VARINT_BYTE:
            return (raw >> 1) ^ -(raw & 1), position + 1
        shift += 7
    raise UnreadableBatch("a number within it has no end")


def _record(header: BatchHeader, frame: memoryview) -> FramedRecord:
    delta_ms, at = varint(frame, 1)
    offset_delta, at = varint(frame, at)
    key, at = _field(frame, at)
    value, at = _field(frame, at)
    by_broker = bool(header.attributes & LOG_APPEND_TIME)
    timestamp = header.max_timestamp if by_broker else header.first_timestamp + delta_ms
    return FramedRecord(header.base_offset + offset_delta, (timestamp, int(by_broker)), key, value, frame[at:])


def _field(data: memoryview, at: int) -> tuple[bytes | None, int]:
    """Bytes with their length in front of them, negative for null."""
    length, at = varint(data, at)
    if length < 0:
        return None, at
    if length > len(data) - at:
        raise UnreadableBatch(f"a field of {length} bytes where {len(data) - at} are left")
    return bytes(data[at : at + length]), at + length
