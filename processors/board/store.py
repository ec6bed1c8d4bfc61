"""The live numbers in memory: the follower puts them in, metrics, API and pages read them."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, cast

import msgspec

from processors.board.ages import Ages
from processors.board.customers import Customers
from processors.board.directory import Reps
from processors.board.held import Held
from processors.board.tally import EVERY_FIELD, Sums, Tally
from processors.board.waiting import Waiting
from processors.core.folds.lifetime_value_fold import sum_of_segments
from processors.core.ledger.data_quality import by_window
from processors.core.time.zones import zone_days
from schemas.policy import Policy
from schemas.views import (
    SECTIONS,
    OpenOpportunities,
    Partial,
    Scope,
    Section,
    Segment,
    partial_field,
    split_partial_field,
)

V = TypeVar("V")

_standing = msgspec.msgpack.Decoder(OpenOpportunities).decode
_segment = msgspec.msgpack.Decoder(Segment).decode
_quality = msgspec.msgpack.Decoder(dict[str, int]).decode
_example = msgspec.msgpack.Decoder(str).decode
_NOTHING = Tally()


class Published(msgspec.Struct, frozen=True):
    """Up to where a source partition is published."""

    offset: int
    stream_us: int
    """The newest event time, in microseconds since 1970."""


NUMBERS, WAITING, STANDING = 1, 2, 4
IDENTITY = NUMBERS | WAITING | STANDING
"""What of a rep was touched, as bits; with its identity, everything that is labelled with it."""


class Store:
    """Implements the follower's View. `version` goes up with every change that readers could see."""

    def __init__(self, policy: Policy, now_us: Callable[[], int]) -> None:
        self.policy = policy
        self.ages = Ages(policy)
        self.reps = Reps(policy)
        self.waiting = Waiting()
        self.held = Held(now_us)
        self._touched: dict[str, int] = {}
        self.version = 0
        self.now_us = now_us
        self.partitions: dict[str, Published] = {}
        self._numbers: dict[str, int] = {}
        self._tallies: dict[str, Tally] = {}
        self.customers = Customers()
        self._standing: dict[str, dict[int, OpenOpportunities]] = {}
        self._segments: dict[tuple[int, str], Segment] = {}
        self._quality: dict[tuple[int, str], dict[str, int]] = {}
        self._examples: dict[tuple[int, str], str] = {}

    def put(self, partition: str, section: Section, field: str, raw: bytes | None) -> None:
        """A field's present value."""
        number = self._number(partition)
        match section:
            case "partials":
                self._put_partial(number, field, raw)
            case "open":
                self._touch(WAITING, *self.waiting.put(number, field, raw))
            case "standing":
                self._put_standing(number, field, raw)
            case "segments":
                self._put_plain(self._segments, (number, field), None if raw is None else _segment(raw))
            case "quality":
                self._put_plain(self._quality, (number, field), None if raw is None else _quality(raw))
            case "examples":
                self._put_plain(self._examples, (number, field), None if raw is None else _example(raw))

    def put_rep(self, rep_id: str, raw: bytes | None) -> None:
        """A rep's present entry in the directory."""
        if self.reps.put(rep_id, raw):
            self._touch(IDENTITY, rep_id, *self.reps.take_relabelled())

    def published(self, partition: str, offset: int, stream_us: int) -> None:
        """Up to where a partition's state goes."""
        self.partitions[partition] = Published(offset, stream_us)

    def fields(self, partition: str, section: Section) -> Iterator[str]:
        """The fields that are held. The caller may delete what it was told of while it goes on."""
        number = self._number(partition)
        match section:
            case "partials":
                yield from self._partial_fields(number)
            case "open":
                yield from self.waiting.fields(number)
            case "standing":
                yield from [rep_id for rep_id, parts in self._standing.items() if number in parts]
            case "segments":
                yield from [field for place, field in self._segments if place == number]
            case "quality":
                yield from [field for place, field in self._quality if place == number]
            case "examples":
                yield from [field for place, field in self._examples if place == number]

    def rep_ids(self) -> Iterable[str]:
        """The reps whose entries are held."""
        return self.reps.ids()

    def known_reps(self) -> set[str]:
        """All reps that have an entry or a number."""
        return {*self.reps.ids(), *self._tallies, *self.waiting.owners(), *self._standing}

    def knows(self, rep_id: str) -> bool:
        """Whether a rep is among `known_reps`."""
        if self.reps.get(rep_id) is not None or self.waiting.of(rep_id):
            return True
        return rep_id in self._tallies or rep_id in self._standing

    def sums(self, rep_id: str) -> Sums:
        """A rep's sums over the windows that end on its present local day; to be read at once."""
        tally = self._tallies.get(rep_id, _NOTHING)
        return tally.sums(self.reps.today(rep_id, self.now_us()))

    def take_moved(self, rep_id: str) -> int:
        """In which fields a rep's sums may have moved since the last call, as bits; the sums are to be asked first."""
        tally = self._tallies.get(rep_id)
        return EVERY_FIELD if tally is None else tally.take_moved()

    def each_day(self, rep_id: str, first: int, last: int) -> list[Partial]:
        """A rep's sum of every local day from the first to the last."""
        return self._tallies.get(rep_id, _NOTHING).each_day(first, last)

    def distinct(self, scope: Scope, subject: str) -> list[Partial]:
        """The distinct counts of a team, or of the company, in each window: of those who are in its reps' windows."""
        return self.customers.sums(scope, subject, self.now_us())

    def today(self) -> int:
        """The present day in the policy's zone."""
        return zone_days(self.policy.time_zone).day(self.now_us())

    def standing(self, rep_id: str) -> dict[str, dict[str, int]]:
        """A rep's open opportunities by pipeline and stage."""
        result: dict[str, dict[str, int]] = {}
        for standing in self._standing.get(rep_id, {}).values():
            for pipeline, stages in standing.opportunities.items():
                mine = result.setdefault(pipeline, {})
                for stage, count in stages.items():
                    mine[stage] = mine.get(stage, 0) + count
        return result

    def segments(self) -> dict[str, Segment]:
        """Customers and their money by segment."""
        return sum_of_segments({name: segment} for (_, name), segment in self._segments.items())

    def quality(self) -> dict[str, dict[str, int]]:
        """Data quality: window to reason to count (S29)."""
        return by_window(((int(day), counts) for (_, day), counts in self._quality.items()), self.today())

    def examples(self) -> dict[str, str]:
        """Reason to an example of it: one partition's, of those that have any."""
        return {reason: self._examples[number, reason] for number, reason in sorted(self._examples)}

    def read(self) -> int:
        """How many records were read, whatever became of them."""
        return sum(published.offset for published in self.partitions.values())

    def take_touched(self) -> dict[str, int]:
        """The reps of whom something changed since the last call, each with what."""
        touched, self._touched = self._touched, {}
        return touched

    def drop(self, partition: str) -> None:
        """The partition is no more."""
        for section in SECTIONS:
            for field in list(self.fields(partition, section)):
                self.put(partition, section, field, None)
        self.partitions.pop(partition, None)
        self.version += 1

    def _number(self, partition: str) -> int:
        return self._numbers.setdefault(partition, len(self._numbers))

    def _touch(self, what: int, *rep_ids: str) -> None:
        for rep_id in rep_ids:
            self._touched[rep_id] = self._touched.get(rep_id, 0) | what
            self.version += 1

    def _put_partial(self, number: int, field: str, raw: bytes | None) -> None:
        scope, subject, day = split_partial_field(field)
        if scope != "rep":
            self.version += self.customers.put(cast("Scope", scope), subject, day, number, raw)
            return
        tally = self._tallies.get(subject)
        if tally is None:
            tally = self._tallies[subject] = Tally()
        if tally.put(number, day, raw):
            self._touch(NUMBERS, subject)
        if not tally:
            del self._tallies[subject]

    def _partial_fields(self, number: int) -> Iterator[str]:
        for rep_id, tally in list(self._tallies.items()):
            for day in tally.days(number):
                yield partial_field("rep", rep_id, day)
        yield from self.customers.fields(number)

    def _put_standing(self, number: int, rep_id: str, raw: bytes | None) -> None:
        parts = self._standing.setdefault(rep_id, {})
        old, new = parts.pop(number, None), None if raw is None else _standing(raw)
        if new is not None:
            parts[number] = new
        if not parts:
            del self._standing[rep_id]
        if old != new:
            self._touch(STANDING, rep_id)

    def _put_plain(self, held: dict[tuple[int, str], V], place: tuple[int, str], new: V | None) -> None:
        old = held.pop(place, None)
        if new is not None:
            held[place] = new
        if old != new:
            self.version += 1
