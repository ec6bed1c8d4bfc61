"""The journal's format: what the changelog topic holds of a partition, as bytes and back. Pure.

The durable state of a partition is the set of events it accepted, kept in *segments*, one changelog record each:

    key    16 bytes, big-endian: ordinal (8), writer (8)
    value  msgpack array: version, last of its flush?, next offsets, advanced, quality, events, places, told,
           examples, logs, alerts
           a null value withdraws the segment

Only the writer that began a segment ever writes its key again, and then with more events. So a worker that lost its
partition without noticing can still write, but not take away what its successor wrote.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

import msgspec

from schemas.errors import SalespulseError

FORMAT_VERSION = 1
MAX_TAIL_BYTES = 64 * 1024
"""A segment is rewritten with more events until it has grown to this; it bounds what an idle partition writes."""
MAX_SEGMENT_BYTES = 256 * 1024
"""No segment is larger: every one fits a Kafka message, and recovery never holds the event loop for long."""

MAX_ORDINAL = 2**63
"""Centuries of flushes are fewer: the next ordinal must always fit."""

_KEY = struct.Struct(">QQ")


class JournalError(SalespulseError):
    """A changelog record that this version cannot read."""


class ForeignRecord(JournalError):
    """A record that no worker has written."""


class SourceLog(msgspec.Struct, frozen=True, array_like=True):
    """Which log a source topic was when its records were applied."""

    topic_id: str | None = None
    """The broker's id of the topic; None: not known."""
    base: int = 0
    """What the journal counts before the broker's offset 0: records of logs that came before this one."""
    since_us: int = 0
    """When this log was accepted in the place of another (wall, microseconds since 1970); 0: it is the first."""


class JournalPosition(msgspec.Struct, frozen=True):
    """How far a partition was: what its state contains, beside the events themselves."""

    next_offsets: dict[str, int]
    """Source topic to the offset that is applied next, counted from `base` of its log: every earlier one is applied."""
    advanced_us: int
    """Time was advanced up to here (microseconds since 1970), and everything that followed from it was sent."""
    quality: dict[int, dict[str, int]]
    """Day to reason to count."""
    places: int | None = None
    """Where the reps stood, as a fingerprint; None: not known."""
    told: dict[int, int] = {}
    """Partition of the directory's topic to the offset up to which its refused entries are dead letters."""
    examples: dict[str, str] = {}
    """Reason to an example of it; like `quality`, it is bounded whatever senders do."""
    logs: dict[str, SourceLog] = {}
    """Topic to the log that it was."""
    alerts: dict[int, int] = {}
    """Partition of the alerts' topic to the offset up to which its transitions are known to this state."""


class JournalSegment(msgspec.Struct, array_like=True):
    """One changelog record's value."""

    version: int
    last: bool
    """False: more segments of the same flush follow, and without them this one does not count."""
    next_offsets: dict[str, int]
    advanced_us: int
    quality: dict[int, dict[str, int]]
    events: list[bytes]
    places: int | None = None
    told: dict[int, int] = {}
    examples: dict[str, str] = {}
    logs: dict[str, SourceLog] = {}
    alerts: dict[int, int] = {}
    """The last five are not in what was written before they were kept."""


_decoder = msgspec.msgpack.Decoder(JournalSegment)
_encoder = msgspec.msgpack.Encoder()


def encode_key(ordinal: int, writer: int) -> bytes:
    """The changelog key of a segment."""
    return _KEY.pack(ordinal, writer)


def decode_key(key: bytes) -> tuple[int, int]:
    """Ordinal and writer of a segment; raises ForeignRecord."""
    try:
        ordinal, writer = _KEY.unpack(key)
    except struct.error as error:
        raise ForeignRecord(f"changelog key {key!r}: {_KEY.size} bytes are expected; is this another topic?") from error
    if ordinal > MAX_ORDINAL:
        raise ForeignRecord(f"changelog key {key!r}: no journal is so long; is this another topic?")
    return ordinal, writer


def encode_segment(mark: JournalPosition, events: list[bytes], *, last: bool) -> bytes:
    """The changelog value of a segment."""
    segment = JournalSegment(
        FORMAT_VERSION,
        last,
        mark.next_offsets,
        mark.advanced_us,
        mark.quality,
        events,
        mark.places,
        mark.told,
        mark.examples,
        mark.logs,
        mark.alerts,
    )
    return _encoder.encode(segment)


def decode_segment(value: bytes) -> JournalSegment:
    """A segment from its changelog value; raises ForeignRecord, and JournalError for one of a later version."""
    try:
        segment = _decoder.decode(value)
    except msgspec.MsgspecError as error:
        raise ForeignRecord(f"changelog value of {len(value)} bytes cannot be read: {error}") from error
    if segment.version != FORMAT_VERSION:
        raise JournalError(
            f"changelog version {segment.version} is not known: only {FORMAT_VERSION} is; update the worker"
        )
    return segment


def covers(offsets: dict[str, int], others: dict[str, int]) -> bool:
    """True when every offset of `others` is reached in `offsets`."""
    return all(offsets.get(topic, 0) >= offset for topic, offset in others.items())


def slices_up_to(sizes: list[int], most_bytes: int) -> Iterator[slice]:
    """Consecutive slices of events of these sizes, at most `most_bytes` each; a larger one has a slice of its own."""
    ends = list(accumulate(sizes))
    start = before = 0
    while start < len(sizes):
        end = max(bisect_right(ends, before + most_bytes, start), start + 1)
        yield slice(start, end)
        start, before = end, ends[end - 1]
