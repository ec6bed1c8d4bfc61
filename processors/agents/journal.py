"""The journal of one partition: which segments hold its events, what is to be written, what to compact. Pure."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from msgspec.structs import replace

from processors.agents.journal_format import (
    MAX_SEGMENT_BYTES,
    MAX_TAIL_BYTES,
    JournalPosition,
    JournalSegment,
    covers,
    decode_key,
    decode_segment,
    encode_key,
    encode_segment,
    slices_up_to,
)

COMPACT_BELOW_ONE_IN = 4
"""A segment is compacted when the ledger keeps fewer than one in this many of its events."""
MIN_SEGMENT_BYTES = MAX_TAIL_BYTES // 4
"""Smaller segments, which restarts leave behind, are merged into the tail."""

Replay = Callable[[bytes], str]
"""Applies an event's bytes during recovery; returns its event_id."""
Entry = tuple[bytes, bytes | None]
"""A changelog record: key and value. The value None withdraws the key."""


class Facts(Container[str], Protocol):
    """The events that a ledger still keeps."""

    def raw(self, event_id: str) -> bytes:
        """The event's JSON."""


@dataclass(slots=True)
class WrittenSegment:
    """A segment as the changelog has it."""

    events: list[bytes] = field(default_factory=list)
    """Kept only while it is the tail, which is written again and again."""
    ids: list[str] = field(default_factory=list)
    size: int = 0
    """Bytes of its events."""


class Journal:
    """Turns accepted events into the changelog records that make them durable.

    A flush appends to the *tail*, the newest segment, until that is large. `compact_one` rewrites old segments of which
    little is still kept: their live events are written anew first, and only the next flush withdraws the old segment.
    So an event is in the changelog at every moment, twice rather than never.

    Intake appends to `pending` and `pending_ids` itself, because that is the hottest line of the worker.
    """

    def __init__(self, writer: int) -> None:
        """`writer`: a number that no other journal uses, not even an earlier one of the same partition."""
        self.pending: list[bytes] = []
        self.pending_ids: list[str] = []
        self.position = JournalPosition({}, 0, {})
        self._writer = writer
        self._ordinal = 0
        self._segments: dict[bytes, WrittenSegment] = {}
        self._tail: bytes | None = None
        self._held: dict[bytes, JournalSegment] = {}
        self._forgotten: set[str] = set()
        self._expired: set[str] = set()
        self._left_over: set[str] = set()
        self._superseded: list[bytes] = []
        """Segments that the next flush replaces. The flush after that withdraws them."""
        self._withdrawn: list[bytes] = []

    def __len__(self) -> int:
        return len(self._segments)

    def restore(self, key: bytes, value: bytes | None, replay: Replay) -> int:
        """Add a changelog record while recovering; returns the number of events replayed. Raises JournalError."""
        ordinal, _ = decode_key(key)
        if value is None:
            self._ordinal = max(self._ordinal, ordinal + 1)
            withdrawn = self._segments.pop(key, None)
            if withdrawn is not None:
                self._left_over.update(withdrawn.ids)
            self._held.pop(key, None)
            return 0
        segment = decode_segment(value)
        self._ordinal = max(self._ordinal, ordinal + 1)
        self._held[key] = segment
        if not segment.last:
            return 0
        self._advance_position(segment)
        return sum(self._replay(ready, replay) for ready in self._ready())

    def withdraw(self, key: bytes) -> None:
        """Remove a record that no worker has written. The next flush but one does it."""
        self._superseded.append(key)

    def drain_left_over(self) -> set[str]:
        """After a recovery: events that came from segments withdrawn since, and that no other segment has."""
        left_over, self._left_over = self._left_over, set()
        if left_over:
            for segment in self._segments.values():
                left_over.difference_update(segment.ids)
        return left_over

    def cut(self, position: JournalPosition) -> list[Entry]:
        """The records to write, in this order, to make everything up to `position` durable."""
        events, ids = self.pending, self.pending_ids
        self.pending, self.pending_ids = [], []
        self.position = position
        return [*self._withdrawals(), *self._append(events, ids)]

    def claim(self) -> Entry:
        """A changelog record without news. Its offset becomes the epoch of the owner that writes it."""
        key = encode_key(self._ordinal, self._writer)
        self._ordinal += 1
        self._segments[key] = WrittenSegment()
        return key, encode_segment(self.position, [], last=True)

    def forget(self, ids: Iterable[str]) -> None:
        """These events must not return at a recovery: the next `compact_one` rewrites their segments without them."""
        self._forgotten.update(ids)

    def expire(self, ids: Iterable[str]) -> None:
        """These events are past retention and must go, even if their roots get new events.

        Their segments are rewritten without them, each when `compact_one` comes to it.
        """
        self._expired.update(ids)

    @property
    def is_written(self) -> bool:
        """Whether every event is written and every replaced segment withdrawn."""
        return not (self.pending or self._superseded or self._withdrawn)

    def compact_one(self, facts: Facts) -> None:
        """Examine one segment, each in turn. If little of it is still kept, rewrite its live events and drop it."""
        if self._forgotten:
            self._rewrite_forgotten(facts)
        key = self._next_candidate()
        if key is None:
            return
        segment = self._segments.pop(key)
        live = [event_id for event_id in segment.ids if event_id in facts]
        expires = not self._expired.isdisjoint(segment.ids)
        if expires or len(live) * COMPACT_BELOW_ONE_IN < len(segment.ids) or segment.size < MIN_SEGMENT_BYTES:
            self._expired.difference_update(segment.ids)
            self._tail = None if key == self._tail else self._tail
            self._rewrite(key, live, facts)
        else:
            self._segments[key] = segment

    def _next_candidate(self) -> bytes | None:
        """The segment to examine next. The tail still grows, so only if it holds events past retention."""
        tail = self._segments.get(self._tail) if self._tail is not None else None
        if tail is not None and not self._expired.isdisjoint(tail.ids):
            return self._tail
        return next((key for key in self._segments if key != self._tail), None)

    def _rewrite_forgotten(self, facts: Facts) -> None:
        """Replace the segments that hold forgotten events, and drop those that were still pending."""
        kept = [
            (event_id, raw) for event_id, raw in zip(self.pending_ids, self.pending, strict=True) if event_id in facts
        ]
        self.pending_ids[:] = [event_id for event_id, _ in kept]
        self.pending[:] = [raw for _, raw in kept]
        for key in [key for key, held in self._segments.items() if not self._forgotten.isdisjoint(held.ids)]:
            segment = self._segments.pop(key)
            self._tail = None if key == self._tail else self._tail
            self._rewrite(key, [event_id for event_id in segment.ids if event_id in facts], facts)
        self._forgotten.clear()

    def _rewrite(self, key: bytes, live: list[str], facts: Facts) -> None:
        self.pending += map(facts.raw, live)
        self.pending_ids += live
        self._superseded.append(key)

    def _advance_position(self, segment: JournalSegment) -> None:
        """Advance to the position of a flush's last segment.

        A former owner may have written after its successor: offsets only grow, the rest follows the highest position.
        """
        known = self.position.next_offsets
        offsets = segment.next_offsets
        if sum(offsets.values()) >= sum(known.values()):
            advanced_us = max(segment.advanced_us, self.position.advanced_us)
            more = (
                segment.reps_fingerprint,
                segment.directory_reported_to,
                segment.examples,
                segment.logs,
                segment.alerts,
            )
            self.position = JournalPosition(offsets, advanced_us, segment.quality, *more)
        self.position = replace(self.position, next_offsets=_highest(known, offsets))

    def _ready(self) -> list[bytes]:
        """The held segments whose flush is complete, in order.

        A worker may have died in the middle of a flush. Its segments wait here until they are withdrawn.
        """
        reached = self.position.next_offsets
        return [key for key, segment in self._held.items() if covers(reached, segment.next_offsets)]

    def _replay(self, key: bytes, replay: Replay) -> int:
        segment = self._held.pop(key)
        written = self._segments.setdefault(key, WrittenSegment())
        fresh = segment.events[len(written.ids) :]
        written.ids += map(replay, fresh)
        written.size += sum(map(len, fresh))
        return len(fresh)

    def _withdrawals(self) -> Iterator[Entry]:
        """Withdraw segments whose replacement an earlier flush has written."""
        # Left by a worker that died in the middle of a flush. Their events were read again, and this flush has them.
        torn = self._ready()
        for key in torn:
            del self._held[key]
        withdrawn, self._withdrawn = self._withdrawn, [*self._superseded, *torn]
        self._superseded = []
        return ((key, None) for key in withdrawn)

    def _append(self, events: list[bytes], ids: list[str]) -> Iterator[Entry]:
        """Write the tail with the new events, or begin new segments.

        The last record is never a null: Kafka's compaction drops those, and recovery reads to the last record.
        """
        tail = self._segments.get(self._tail) if self._tail is not None else None
        # Measured once only: after a burst the events are too many for any CPU cache.
        sizes = list(map(len, events))
        if self._tail is not None and tail is not None and tail.size + sum(sizes) <= MAX_TAIL_BYTES:
            _extend(tail, events, ids, sizes)
            return iter([(self._tail, encode_segment(self.position, tail.events, last=True))])
        if tail is not None:
            tail.events = []
        return self._begin_segments(events, ids, sizes)

    def _begin_segments(self, events: list[bytes], ids: list[str], sizes: list[int]) -> Iterator[Entry]:
        cuts = list(slices_up_to(MAX_SEGMENT_BYTES, sizes)) or [slice(0)]
        for cut in cuts:
            written = WrittenSegment()
            _extend(written, events[cut], ids[cut], sizes[cut])
            self._tail = encode_key(self._ordinal, self._writer)
            self._ordinal += 1
            self._segments[self._tail] = written
            yield self._tail, encode_segment(self.position, written.events, last=cut is cuts[-1])
            if cut is not cuts[-1]:
                written.events = []


def _extend(written: WrittenSegment, events: list[bytes], ids: list[str], sizes: list[int]) -> None:
    written.events += events
    written.ids += ids
    written.size += sum(sizes)


def _highest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {topic: max(one.get(topic, 0), other.get(topic, 0)) for topic in {**one, **other}}
