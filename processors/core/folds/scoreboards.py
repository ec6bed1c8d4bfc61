"""Partials by rep and local day, and the distinct counts of customers that ride on them.

A scoreboard has one rep's numbers of one source partition: a Partial per local day, and the open opportunities. Folds
add to it with a sign: +1 when a root begins to contribute something, -1 when it no longer does.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Final, TypeVar

from processors.core.state.directory import Directory
from processors.core.time.instants import DAY_US, LONG_AGO_US, SECOND_US
from processors.core.time.zones import ZoneDays, zone_days
from schemas.views import RESPONSE_BUCKETS_SECONDS, OpenOpportunities, Partial, Scope, pooled_subject

K = TypeVar("K")

EMPTY: Final = Partial()
NO_DAY: Final = LONG_AGO_US
BUCKETS_US: Final = tuple(seconds * SECOND_US for seconds in RESPONSE_BUCKETS_SECONDS)


class Scoreboard:
    """One subject's partials by day, with the days that changed since the last publication."""

    __slots__ = (
        "changed",
        "days",
        "high_us",
        "latest",
        "latest_day",
        "low_us",
        "offset_us",
        "open_opportunities",
        "open_opportunities_changed",
        "scope",
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
        self.open_opportunities = OpenOpportunities()
        self.open_opportunities_changed = False
        self.low_us, self.high_us, self.offset_us = 1, 0, 0
        self.latest_day = NO_DAY
        self.latest = Partial()
        """The partial that was changed last, and its day: most facts of a batch are of one day."""

    def day(self, at_us: int) -> int:
        """The subject's local day at an instant (S19)."""
        if not self.low_us <= at_us < self.high_us:
            self.low_us, self.high_us, self.offset_us = self.zone.span(at_us)
        return (at_us + self.offset_us) // DAY_US

    def partial(self, day: int) -> Partial:
        """The partial of a day, to be added to: it counts as changed."""
        if day == self.latest_day:
            return self.latest
        self.changed.add(day)
        partial = self.days.get(day)
        if partial is None:
            partial = self.days[day] = Partial()
        self.latest_day, self.latest = day, partial
        return partial

    def drain_changed_day(self) -> int:
        """One of the days that changed, from now on unchanged."""
        day = self.changed.pop()
        if day == self.latest_day:
            # The next addition has to mark the day as changed again.
            self.latest_day = NO_DAY
        return day

    def at(self, at_us: int) -> Partial:
        """The partial of the local day of an instant, to be added to."""
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


class Scoreboards:
    """All scoreboards of one source partition."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.reps: dict[str, Scoreboard] = {}
        self._pooled: dict[tuple[Scope, str], dict[str, Scoreboard]] = {}
        self.reps_fingerprint = 0
        """Changes with any rep's team or zone, and with a new rep: it shows after a restart whether reps moved."""

    def rep(self, rep_id: str) -> Scoreboard:
        """The scoreboard of a rep: it keeps the team and zone that the rep had when it was made, until it is moved."""
        scoreboard = self.reps.get(rep_id)
        if scoreboard is None:
            scoreboard = self.reps[rep_id] = Scoreboard("rep", rep_id, *self._team_and_zone(rep_id))
            self.reps_fingerprint ^= _fingerprint(scoreboard)
        return scoreboard

    def pooled(self, scope: Scope, subject: str, zones: str) -> Scoreboard:
        """The distinct counts of a team, or of the company (`""`), by the clocks of zones (`last_days`)."""
        by_zones = self._pooled.get((scope, subject))
        if by_zones is None:
            by_zones = self._pooled[scope, subject] = {}
        scoreboard = by_zones.get(zones)
        if scoreboard is None:
            scoreboard = by_zones[zones] = Scoreboard(scope, pooled_subject(subject, zones), zone_days("UTC"))
        return scoreboard

    def by_zones(self, scope: Scope, subject: str) -> Mapping[str, Scoreboard]:
        """All distinct counts of a team, or of the company: a scoreboard for each `zones`."""
        return self._pooled.get((scope, subject), {})

    def __iter__(self) -> Iterator[Scoreboard]:
        yield from self.reps.values()
        for by_zones in self._pooled.values():
            yield from by_zones.values()

    def moved(self, rep_ids: Iterable[str]) -> list[Scoreboard]:
        """The scoreboards of those reps who have another team or zone by now."""
        scoreboards = [self.reps[rep_id] for rep_id in rep_ids if rep_id in self.reps]
        return [
            scoreboard
            for scoreboard in scoreboards
            if (scoreboard.zone, scoreboard.team) != self._team_and_zone(scoreboard.subject)
        ]

    def move(self, scoreboard: Scoreboard) -> None:
        """Give a scoreboard the present team and zone of its rep; all that it had must have been withdrawn."""
        self.reps_fingerprint ^= _fingerprint(scoreboard)
        scoreboard.zone, scoreboard.team = self._team_and_zone(scoreboard.subject)
        self.reps_fingerprint ^= _fingerprint(scoreboard)
        scoreboard.low_us, scoreboard.high_us = 1, 0

    def _team_and_zone(self, rep_id: str) -> tuple[ZoneDays, str]:
        return zone_days(self._directory.zone(rep_id)), self._directory.team(rep_id)


def _fingerprint(scoreboard: Scoreboard) -> int:
    # No checksum: those of similar texts are related, and two reps who move the same way would cancel out.
    text = repr((scoreboard.subject, scoreboard.team, scoreboard.zone.name)).encode()
    return int.from_bytes(blake2b(text, digest_size=7).digest())
