"""The live numbers in memory: the follower of the read model writes them; metrics, API and pages read them."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar, cast

import msgspec

from processors.board.state.age_classes import AgeClasses
from processors.board.state.open_requests import OpenRequests
from processors.board.state.rep_directory import RepDirectory
from processors.board.state.rolling_sums import EVERY_FIELD, Sums, WindowSums
from processors.board.state.team_customers import TeamCustomers
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

_opportunities = msgspec.msgpack.Decoder(OpenOpportunities).decode
_segment = msgspec.msgpack.Decoder(Segment).decode
_quality = msgspec.msgpack.Decoder(dict[str, int]).decode
_example = msgspec.msgpack.Decoder(str).decode
_EMPTY = WindowSums()


class Published(msgspec.Struct, frozen=True):
    """How far a source partition is published."""

    offset: int
    stream_us: int
    """Newest event time, in microseconds since 1970."""


NUMBERS, WAITS, OPPORTUNITIES = 1, 2, 4
"""Which part of a rep changed, as bits: sums over windows, open requests, open opportunities."""
IDENTITY = NUMBERS | WAITS | OPPORTUNITIES
"""A change of name or team changes the labels of every series of the rep."""


class Store:
    """Implements the follower's View. `version` rises with every change that a reader could see."""

    def __init__(self, policy: Policy, now_us: Callable[[], int]) -> None:
        self.policy = policy
        self.age_classes = AgeClasses(policy)
        self.reps = RepDirectory(policy)
        self.open_requests = OpenRequests()
        self._touched: dict[str, int] = {}
        self.version = 0
        self.now_us = now_us
        self.partitions: dict[str, Published] = {}
        self._numbers: dict[str, int] = {}
        self._window_sums: dict[str, WindowSums] = {}
        self.team_customers = TeamCustomers()
        self._opportunities: dict[str, dict[int, OpenOpportunities]] = {}
        self._segments: dict[tuple[int, str], Segment] = {}
        self._quality: dict[tuple[int, str], dict[str, int]] = {}
        self._examples: dict[tuple[int, str], str] = {}

    def put(self, partition: str, section: Section, field: str, raw: bytes | None) -> None:
        """Set a field; None removes it."""
        number = self._number(partition)
        match section:
            case "partials":
                self._put_partial(number, field, raw)
            case "open":
                self._touch(WAITS, *self.open_requests.put(number, field, raw))
            case "standing":
                self._put_opportunities(number, field, raw)
            case "segments":
                self._put_plain(self._segments, (number, field), None if raw is None else _segment(raw))
            case "quality":
                self._put_plain(self._quality, (number, field), None if raw is None else _quality(raw))
            case "examples":
                self._put_plain(self._examples, (number, field), None if raw is None else _example(raw))

    def put_rep(self, rep_id: str, raw: bytes | None) -> None:
        """Set a rep's entry in the directory; None removes it."""
        if self.reps.put(rep_id, raw):
            self._touch(IDENTITY, rep_id, *self.reps.drain_relabelled())

    def published(self, partition: str, offset: int, stream_us: int) -> None:
        """Note how far a partition is published."""
        self.partitions[partition] = Published(offset, stream_us)

    def fields(self, partition: str, section: Section) -> Iterator[str]:
        """The fields held of a partition. The caller may remove fields while it iterates."""
        number = self._number(partition)
        match section:
            case "partials":
                yield from self._partial_fields(number)
            case "open":
                yield from self.open_requests.fields(number)
            case "standing":
                yield from [rep_id for rep_id, parts in self._opportunities.items() if number in parts]
            case "segments":
                yield from [field for owner, field in self._segments if owner == number]
            case "quality":
                yield from [field for owner, field in self._quality if owner == number]
            case "examples":
                yield from [field for owner, field in self._examples if owner == number]

    def rep_ids(self) -> Iterable[str]:
        """Every rep with an entry in the directory."""
        return self.reps.ids()

    def known_reps(self) -> set[str]:
        """Every rep with an entry in the directory or a number."""
        return {*self.reps.ids(), *self._window_sums, *self.open_requests.owners(), *self._opportunities}

    def knows(self, rep_id: str) -> bool:
        """Whether a rep is among `known_reps`."""
        if self.reps.get(rep_id) is not None or self.open_requests.owned_by(rep_id):
            return True
        return rep_id in self._window_sums or rep_id in self._opportunities

    def sums(self, rep_id: str) -> Sums:
        """A rep's sums over the windows that end today in its zone. Read them at once: they change in place."""
        sums = self._window_sums.get(rep_id, _EMPTY)
        return sums.ending_on(self.reps.today(rep_id, self.now_us()))

    def drain_moved(self, rep_id: str) -> int:
        """The fields of a rep's sums that changed since the last call, as bits. Call `sums` first."""
        sums = self._window_sums.get(rep_id)
        return EVERY_FIELD if sums is None else sums.drain_moved()

    def daily_sums(self, rep_id: str, first: int, last: int) -> list[Partial]:
        """A rep's sum for each local day from first to last."""
        return self._window_sums.get(rep_id, _EMPTY).daily_sums(first, last)

    def distinct_counts(self, scope: Scope, subject: str) -> list[Partial]:
        """Distinct customers of a team, or of the company, in each window (S11)."""
        return self.team_customers.sums(scope, subject, self.now_us())

    def today(self) -> int:
        """Today in the policy's zone."""
        return zone_days(self.policy.time_zone).day(self.now_us())

    def open_opportunities(self, rep_id: str) -> dict[str, dict[str, int]]:
        """A rep's open opportunities by pipeline and stage."""
        result: dict[str, dict[str, int]] = {}
        for part in self._opportunities.get(rep_id, {}).values():
            for pipeline, stages in part.opportunities.items():
                mine = result.setdefault(pipeline, {})
                for stage, count in stages.items():
                    mine[stage] = mine.get(stage, 0) + count
        return result

    def segments(self) -> dict[str, Segment]:
        """Customers, revenue and cost by segment."""
        return sum_of_segments({name: segment} for (_, name), segment in self._segments.items())

    def quality(self) -> dict[str, dict[str, int]]:
        """Records by window and reason (S29)."""
        return by_window(((int(day), counts) for (_, day), counts in self._quality.items()), self.today())

    def examples(self) -> dict[str, str]:
        """One example for each reason that has any; the last partition's wins."""
        return {reason: self._examples[number, reason] for number, reason in sorted(self._examples)}

    def records_read(self) -> int:
        """Records read so far, valid or not."""
        return sum(published.offset for published in self.partitions.values())

    def drain_touched(self) -> dict[str, int]:
        """Every rep that changed since the last call, with the bits of what changed."""
        touched, self._touched = self._touched, {}
        return touched

    def drop(self, partition: str) -> None:
        """Remove everything of a partition."""
        for section in SECTIONS:
            for field in list(self.fields(partition, section)):
                self.put(partition, section, field, None)
        self.partitions.pop(partition, None)
        self.version += 1

    def _number(self, partition: str) -> int:
        return self._numbers.setdefault(partition, len(self._numbers))

    def _touch(self, changed: int, *rep_ids: str) -> None:
        for rep_id in rep_ids:
            self._touched[rep_id] = self._touched.get(rep_id, 0) | changed
            self.version += 1

    def _put_partial(self, number: int, field: str, raw: bytes | None) -> None:
        scope, subject, day = split_partial_field(field)
        if scope != "rep":
            self.version += self.team_customers.put(cast("Scope", scope), subject, day, number, raw)
            return
        sums = self._window_sums.get(subject)
        if sums is None:
            sums = self._window_sums[subject] = WindowSums()
        if sums.put(number, day, raw):
            self._touch(NUMBERS, subject)
        if not sums:
            del self._window_sums[subject]

    def _partial_fields(self, number: int) -> Iterator[str]:
        for rep_id, sums in list(self._window_sums.items()):
            for day in sums.days(number):
                yield partial_field("rep", rep_id, day)
        yield from self.team_customers.fields(number)

    def _put_opportunities(self, number: int, rep_id: str, raw: bytes | None) -> None:
        parts = self._opportunities.setdefault(rep_id, {})
        old, new = parts.pop(number, None), None if raw is None else _opportunities(raw)
        if new is not None:
            parts[number] = new
        if not parts:
            del self._opportunities[rep_id]
        if old != new:
            self._touch(OPPORTUNITIES, rep_id)

    def _put_plain(self, fields: dict[tuple[int, str], V], key: tuple[int, str], new: V | None) -> None:
        old = fields.pop(key, None)
        if new is not None:
            fields[key] = new
        if old != new:
            self.version += 1
