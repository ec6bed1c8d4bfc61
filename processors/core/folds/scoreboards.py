"""Partials by rep and local day, and the distinct counts of customers that ride on them.

A desk is where one rep's numbers of one source partition lie: a Partial per local day and what stands open. Folding
posts to a desk with a sign: +1 when a root begins to say something, -1 when it no longer does.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Final, TypeVar

from processors.core.state.directory import Directory
from processors.core.time.instants import DAY_US, LONG_AGO_US, SECOND_US
from processors.core.time.zones import ZoneDays, zone_days
from schemas.views import RESPONSE_BUCKETS_SECONDS, Partial, Scope, Standing, pooled_subject

K = TypeVar("K")

EMPTY: Final = Partial()
NO_DAY: Final = LONG_AGO_US
BUCKETS_US: Final = tuple(seconds * SECOND_US for seconds in RESPONSE_BUCKETS_SECONDS)


class Desk:
    """One subject's partials by day, with the days that changed since the last publication."""

    __slots__ = (
        "changed",
        "days",
        "high_us",
        "latest",
        "latest_day",
        "low_us",
        "offset_us",
        "scope",
        "standing",
        "standing_changed",
        "subject",
        "team",
        "zone",
    )

    def __init__(self, scope: Scope, subject: str, zone: ZoneDays, team: str = "") -> None:
        self.scope = scope
        self.subject = subject
        self.zone = zone
        self.team = team
        """Of a rep: the team that its distinct counts are in, and whose calendar holds for it."""
        self.days: dict[int, Partial] = {}
        self.changed: set[int] = set()
        self.standing = Standing()
        self.standing_changed = False
        self.low_us, self.high_us, self.offset_us = 1, 0, 0
        self.latest_day = NO_DAY
        self.latest = Partial()
        """The partial that was posted to last, and its day: it counts as changed already."""

    def day(self, at_us: int) -> int:
        """The subject's local day at an instant (S19)."""
        if not self.low_us <= at_us < self.high_us:
            self.low_us, self.high_us, self.offset_us = self.zone.span(at_us)
        return (at_us + self.offset_us) // DAY_US

    def partial(self, day: int) -> Partial:
        """The partial of a day, to be posted to: it counts as changed."""
        if day == self.latest_day:
            return self.latest
        self.changed.add(day)
        partial = self.days.get(day)
        if partial is None:
            partial = self.days[day] = Partial()
        self.latest_day, self.latest = day, partial
        return partial

    def take_changed(self) -> int:
        """One of the days that changed, from now on unchanged."""
        day = self.changed.pop()
        if day == self.latest_day:
            self.latest_day = NO_DAY
        return day

    def at(self, at_us: int) -> Partial:
        """The partial of the local day of an instant, to be posted to."""
        return self.partial(self.day(at_us))


def bump(counts: dict[K, int], key: K, by: int) -> None:
    """Add to a count, and forget it at zero: equal states have equal bytes."""
    count = counts.get(key, 0) + by
    if count:
        counts[key] = count
    else:
        counts.pop(key, None)


def count_wait(buckets: list[int], wait_us: int, sign: int) -> None:
    """Add a wait to a histogram of response times, or take it away."""
    if not buckets:
        buckets.extend([0] * (len(BUCKETS_US) + 1))
    index = 0
    for bound_us in BUCKETS_US:
        if wait_us <= bound_us:
            break
        index += 1
    buckets[index] += sign
    if sign < 0 and not any(buckets):
        buckets.clear()


class Desks:
    """All desks of one source partition."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.reps: dict[str, Desk] = {}
        self._pooled: dict[tuple[Scope, str], dict[str, Desk]] = {}
        self.places = 0
        """A fingerprint of where the reps are: it changes when one of them moves, or is new."""

    def rep(self, rep_id: str) -> Desk:
        """The desk of a rep: it stands where the rep was when it was first asked for, until it is moved."""
        desk = self.reps.get(rep_id)
        if desk is None:
            desk = self.reps[rep_id] = Desk("rep", rep_id, *self._place(rep_id))
            self.places ^= _fingerprint(desk)
        return desk

    def pooled(self, scope: Scope, subject: str, zones: str) -> Desk:
        """The distinct counts of a team, or of the company (`""`), by the clocks of zones (`last_days`)."""
        by_zones = self._pooled.get((scope, subject))
        if by_zones is None:
            by_zones = self._pooled[scope, subject] = {}
        desk = by_zones.get(zones)
        if desk is None:
            desk = by_zones[zones] = Desk(scope, pooled_subject(subject, zones), zone_days("UTC"))
        return desk

    def by_zones(self, scope: Scope, subject: str) -> Mapping[str, Desk]:
        """All distinct counts of a team, or of the company: a desk for each `zones`."""
        return self._pooled.get((scope, subject), {})

    def __iter__(self) -> Iterator[Desk]:
        yield from self.reps.values()
        for by_zones in self._pooled.values():
            yield from by_zones.values()

    def moved(self, rep_ids: Iterable[str]) -> list[Desk]:
        """The desks of those reps who have another zone or team by now."""
        desks = [self.reps[rep_id] for rep_id in rep_ids if rep_id in self.reps]
        return [desk for desk in desks if (desk.zone, desk.team) != self._place(desk.subject)]

    def move(self, desk: Desk) -> None:
        """Let a desk stand where its rep is by now; nothing may be posted to it."""
        self.places ^= _fingerprint(desk)
        desk.zone, desk.team = self._place(desk.subject)
        self.places ^= _fingerprint(desk)
        desk.low_us, desk.high_us = 1, 0

    def _place(self, rep_id: str) -> tuple[ZoneDays, str]:
        return zone_days(self._directory.zone(rep_id)), self._directory.team(rep_id)


def _fingerprint(desk: Desk) -> int:
    # No checksum: those of similar words are related, and two reps who move the same way would cancel out.
    words = repr((desk.subject, desk.team, desk.zone.name)).encode()
    return int.from_bytes(blake2b(words, digest_size=7).digest())
