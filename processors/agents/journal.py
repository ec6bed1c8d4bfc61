"""The journal of one partition: which segments hold its events, what is to be written, what is worn out. Pure."""

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

MIN_LIVE_SHARE = 4
"""A segment is worn out when fewer than one in so many of its events are still kept."""
MIN_SEGMENT_BYTES = MAX_TAIL_BYTES // 4
"""Segments below it (left behind by restarts) are merged into the tail."""

Replay = Callable[[bytes], str]
"""Applies an event's bytes during recovery, and gives its event_id."""
Entry = tuple[bytes, bytes | None]
"""A changelog record: key and value; None withdraws the key."""


class Facts(Container[str], Protocol):
    """The events that a ledger still keeps."""

    def raw(self, event_id: str) -> bytes:
        """The event's JSON."""


@dataclass(slots=True)
class WrittenSegment:
    """A segment in the changelog."""

    events: list[bytes] = field(default_factory=list)
    """Only while it is the tail."""
    ids: list[str] = field(default_factory=list)
    size: int = 0
    """Bytes of its events."""


class Journal:
    """Takes accepted events, and gives the changelog records that make them durable.

    Intake appends to `pending` and `pending_ids` itself: it is the hottest line of the worker.
    """

    def __init__(self, writer: int) -> None:
        """`writer`: a number that no other life of this partition uses."""
        self.pending: list[bytes] = []
        self.pending_ids: list[str] = []
        self.mark = JournalPosition({}, 0, {})
        self._writer = writer
        self._ordinal = 0
        self._segments: dict[bytes, WrittenSegment] = {}
        self._tail: bytes | None = None
        self._held: dict[bytes, JournalSegment] = {}
        self._forgotten: set[str] = set()
        self._expired: set[str] = set()
        self._left_over: set[str] = set()
        self._superseded: list[bytes] = []
        """Segments that the next flush replaces; they are withdrawn by the one after it."""
        self._withdrawn: list[bytes] = []

    def __len__(self) -> int:
        return len(self._segments)

    def restore(self, key: bytes, value: bytes | None, replay: Replay) -> int:
        """Take a changelog record while recovering; gives the number of events replayed. Raises JournalError."""
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
        self._reach(segment)
        return sum(self._replay(ready, replay) for ready in self._ready())

    def withdraw(self, key: bytes) -> None:
        """Take out a record that no worker has written: the next flush but one does."""
        self._superseded.append(key)

    def take_left_over(self) -> set[str]:
        """After a recovery: events that were replayed from segments which were withdrawn, and that no other has."""
        left_over, self._left_over = self._left_over, set()
        if left_over:
            for segment in self._segments.values():
                left_over.difference_update(segment.ids)
        return left_over

    def cut(self, mark: JournalPosition) -> list[Entry]:
        """What has to be written, in this order, so that everything up to `mark` is durable."""
        events, ids = self.pending, self.pending_ids
        self.pending, self.pending_ids = [], []
        self.mark = mark
        return [*self._withdrawals(), *self._grow(events, ids)]

    def claim(self) -> Entry:
        """A changelog record that says nothing new: its offset is the epoch of the owner that writes it."""
        key = encode_key(self._ordinal, self._writer)
        self._ordinal += 1
        self._segments[key] = WrittenSegment()
        return key, encode_segment(self.mark, [], last=True)

    def forget(self, ids: Iterable[str]) -> None:
        """These events must not come back at a recovery: the next `wear` writes their segments anew without them."""
        self._forgotten.update(ids)

    def expire(self, ids: Iterable[str]) -> None:
        """These events are past retention: whatever comes of their roots later, they are to be gone.

        Their segments are written anew without them, each when its turn comes to be looked at.
        """
        self._expired.update(ids)

    @property
    def owes_nothing(self) -> bool:
        """Whether every event is written, and every segment that was replaced is withdrawn."""
        return not (self.pending or self._superseded or self._withdrawn)

    def wear(self, facts: Facts) -> None:
        """Look at one segment, each in turn; if it is worn out, write its live events anew and drop it."""
        if self._forgotten:
            self._renew_forgetful(facts)
        key = self._next_worn()
        if key is None:
            return
        segment = self._segments.pop(key)
        live = [event_id for event_id in segment.ids if event_id in facts]
        expires = not self._expired.isdisjoint(segment.ids)
        if expires or len(live) * MIN_LIVE_SHARE < len(segment.ids) or segment.size < MIN_SEGMENT_BYTES:
            self._expired.difference_update(segment.ids)
            self._tail = None if key == self._tail else self._tail
            self._renew(key, live, facts)
        else:
            self._segments[key] = segment

    def _next_worn(self) -> bytes | None:
        """The segment to look at: any but the tail, which grows yet, unless it holds what is past retention."""
        tail = self._segments.get(self._tail) if self._tail is not None else None
        if tail is not None and not self._expired.isdisjoint(tail.ids):
            return self._tail
        return next((key for key in self._segments if key != self._tail), None)

    def _renew_forgetful(self, facts: Facts) -> None:
        """Replace the segments that hold forgotten events, and leave out those that are not written yet."""
        kept = [
            (event_id, raw) for event_id, raw in zip(self.pending_ids, self.pending, strict=True) if event_id in facts
        ]
        self.pending_ids[:] = [event_id for event_id, _ in kept]
        self.pending[:] = [raw for _, raw in kept]
        for key in [key for key, held in self._segments.items() if not self._forgotten.isdisjoint(held.ids)]:
            segment = self._segments.pop(key)
            self._tail = None if key == self._tail else self._tail
            self._renew(key, [event_id for event_id in segment.ids if event_id in facts], facts)
        self._forgotten.clear()

    def _renew(self, key: bytes, live: list[str], facts: Facts) -> None:
        self.pending += map(facts.raw, live)
        self.pending_ids += live
        self._superseded.append(key)

    def _reach(self, segment: JournalSegment) -> None:
        """Raise the mark to what a flush's last segment says."""
        known = self.mark.next_offsets
        offsets = segment.next_offsets
        if sum(offsets.values()) >= sum(known.values()):
            advanced_us = max(segment.advanced_us, self.mark.advanced_us)
            more = (segment.places, segment.told, segment.examples, segment.logs, segment.alerts)
            self.mark = JournalPosition(offsets, advanced_us, segment.quality, *more)
        self.mark = replace(self.mark, next_offsets=_highest(known, offsets))

    def _ready(self) -> list[bytes]:
        """The held segments whose flush is complete, in order."""
        reached = self.mark.next_offsets
        return [key for key, segment in self._held.items() if covers(reached, segment.next_offsets)]

    def _replay(self, key: bytes, replay: Replay) -> int:
        segment = self._held.pop(key)
        written = self._segments.setdefault(key, WrittenSegment())
        fresh = segment.events[len(written.ids) :]
        written.ids += map(replay, fresh)
        written.size += sum(map(len, fresh))
        return len(fresh)

    def _withdrawals(self) -> Iterator[Entry]:
        """Segments that are no longer needed, because an earlier flush wrote what replaces them."""
        torn = self._ready()
        for key in torn:
            del self._held[key]
        withdrawn, self._withdrawn = self._withdrawn, [*self._superseded, *torn]
        self._superseded = []
        return ((key, None) for key in withdrawn)

    def _grow(self, events: list[bytes], ids: list[str]) -> Iterator[Entry]:
        """The tail with the new events, or new segments. The last record is never one that compaction removes."""
        tail = self._segments.get(self._tail) if self._tail is not None else None
        # Once, and not again: there may be too many of them for any cache.
        sizes = list(map(len, events))
        if self._tail is not None and tail is not None and tail.size + sum(sizes) <= MAX_TAIL_BYTES:
            _extend(tail, events, ids, sizes)
            return iter([(self._tail, encode_segment(self.mark, tail.events, last=True))])
        if tail is not None:
            tail.events = []
        return self._begin(events, ids, sizes)

    def _begin(self, events: list[bytes], ids: list[str], sizes: list[int]) -> Iterator[Entry]:
        cuts = list(slices_up_to(sizes, MAX_SEGMENT_BYTES)) or [slice(0)]
        for cut in cuts:
            written = WrittenSegment()
            _extend(written, events[cut], ids[cut], sizes[cut])
            self._tail = encode_key(self._ordinal, self._writer)
            self._ordinal += 1
            self._segments[self._tail] = written
            yield self._tail, encode_segment(self.mark, written.events, last=cut is cuts[-1])
            if cut is not cuts[-1]:
                written.events = []


def _extend(written: WrittenSegment, events: list[bytes], ids: list[str], sizes: list[int]) -> None:
    written.events += events
    written.ids += ids
    written.size += sum(sizes)


def _highest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {topic: max(one.get(topic, 0), other.get(topic, 0)) for topic in {**one, **other}}
