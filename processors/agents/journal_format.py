"""The journal's format: how the changelog topic stores a partition, as bytes and back. Pure.

The durable state of a partition is the set of events it accepted. They are stored in *segments*, one changelog record
each:

    key    16 bytes, big-endian: ordinal (8), writer (8)
    value  msgpack array: version, last of its flush?, next offsets, advanced, quality, events, fingerprint of reps,
           directory reported up to, examples, logs, alerts
           a null value withdraws the segment

Only the writer that began a segment ever writes its key again, and then with more events. So a worker that lost its
partition without noticing can still write, but cannot overwrite what its successor wrote.

Fields are read by their order, not by their names: add new ones at the end, with a default for older segments.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate

import msgspec

from schemas.errors import SalespulseError

FORMAT_VERSION = 1
MAX_TAIL_BYTES = 64 * 1024
"""A segment is rewritten with more events until it is this large. The limit bounds what an idle partition writes."""
MAX_SEGMENT_BYTES = 256 * 1024
"""Every segment fits into a Kafka message, and none holds the event loop for long during recovery."""

MAX_ORDINAL = 2**63
"""Centuries of flushes need fewer. The next ordinal must always fit into the key."""

_KEY = struct.Struct(">QQ")


class JournalError(SalespulseError):
    """A changelog record that this version cannot read."""


class ForeignRecord(JournalError):
    """A record that no worker has written."""


class SourceLog(msgspec.Struct, frozen=True, array_like=True):
    """The log that was behind a source topic's name when its records were applied."""

    topic_id: str | None = None
    """The broker's id of the topic; None: unknown."""
    base: int = 0
    """How many records of earlier logs the journal counts before this log's offset 0."""
    since_us: int = 0
    """When this log was accepted in the place of an earlier one (wall, microseconds since 1970); 0: it is the first."""


class JournalPosition(msgspec.Struct, frozen=True):
    """How far a partition is: everything its state contains beside the events."""

    next_offsets: dict[str, int]
    """Source topic to the next offset, counted from the `base` of its log. Every earlier one is applied."""
    advanced_us: int
    """Time was advanced to this instant (microseconds since 1970), and all that followed from it was sent."""
    quality: dict[int, dict[str, int]]
    """Day to reason to count."""
    reps_fingerprint: int | None = None
    """Fingerprint of the reps' teams and targets; None: unknown."""
    directory_reported_to: dict[int, int] = {}
    """Partition of the directory's topic to the offset up to which refused entries have their dead letters."""
    examples: dict[str, str] = {}
    """Reason to an example of it. Bounded, like `quality`, whatever senders do."""
    logs: dict[str, SourceLog] = {}
    """Topic to the log behind its name."""
    alerts: dict[int, int] = {}
    """Partition of the alerts' topic to the offset up to which this state knows its transitions."""


class JournalSegment(msgspec.Struct, array_like=True):
    """The value of one changelog record. Older versions wrote segments without the last five fields."""

    version: int
    last: bool
    """False: more segments of the same flush follow. Until the last one is there, none of them counts."""
    next_offsets: dict[str, int]
    advanced_us: int
    quality: dict[int, dict[str, int]]
    events: list[bytes]
    reps_fingerprint: int | None = None
    directory_reported_to: dict[int, int] = {}
    examples: dict[str, str] = {}
    logs: dict[str, SourceLog] = {}
    alerts: dict[int, int] = {}


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


def encode_segment(position: JournalPosition, events: list[bytes], *, last: bool) -> bytes:
    """The changelog value of a segment."""
    segment = JournalSegment(
        FORMAT_VERSION,
        last,
        position.next_offsets,
        position.advanced_us,
        position.quality,
        events,
        position.reps_fingerprint,
        position.directory_reported_to,
        position.examples,
        position.logs,
        position.alerts,
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
    """Whether `offsets` reach every offset of `others`."""
    return all(offsets.get(topic, 0) >= offset for topic, offset in others.items())


def slices_up_to(max_bytes: int, sizes: list[int]) -> Iterator[slice]:
    """Consecutive slices of events of these sizes, at most `max_bytes` each; a larger event gets a slice of its own."""
    ends = list(accumulate(sizes))
    start = before = 0
    while start < len(sizes):
        end = max(bisect_right(ends, before + max_bytes, start), start + 1)
        yield slice(start, end)
        start, before = end, ends[end - 1]
