"""When a waiting turn is due, by level (S14), and how much working time a wait took (S12).

A policy is compiled once: versions by instant, levels by what their filters tell apart, and, where all levels are in
calendar time, due instants as mere sums.
"""

from bisect import bisect_right
from collections.abc import Callable

from processors.core.time.instants import FOREVER_US
from processors.core.time.working_time import WorkingCalendar
from processors.core.time.zones import SECOND_US
from schemas.policy import ALWAYS_US, CalendarSpec, Level, Policy, PolicyVersion

Due = tuple[tuple[str, int, int | None], ...]
"""(level, due_us, at_risk_us or None if it is never at risk), ascending by due instant, then by level.

`due_us` is the last instant at which an answer is in time (S09), `at_risk_us` the first one at which the share of the
target is used up: a warning that is due at closing time does not wait for the next opening."""

_Sums = tuple[tuple[str, int, int | None], ...]
"""(level, due - start, at risk - start) of levels in calendar time."""

_Key = tuple[str | None, str, str | None]


class Deadlines:
    """The due instants of turns under a policy. Instants and durations are microseconds."""

    __slots__ = ("_first", "_later", "_second_us", "_starts")

    def __init__(self, policy: Policy) -> None:
        """Raises UnknownZone and NoWorkingTime for a calendar that cannot be."""
        versions = (_from_the_beginning(policy), *policy.versions)
        compiled: dict[int, WorkingCalendar] = {}
        terms = [_Terms(version, compiled) for version in versions]
        self._first = terms[0]
        self._later = terms
        self._starts = [version.effective_from_us for version in versions]
        self._second_us = self._starts[1] if len(versions) > 1 else FOREVER_US

    def due(self, start_us: int, team: str, priority: str, channel: str) -> Due:
        """The deadlines of a turn that starts then; `team` is the one at that instant (S15)."""
        terms = self._first if start_us < self._second_us else self._at(start_us)
        return terms.due(start_us, team, priority, channel)

    def plain(self, start_us: int) -> "PlainDeadlines | None":
        """What holds for every turn that starts then, whoever has it; None: it depends."""
        terms = self._first if start_us < self._second_us else self._at(start_us)
        return terms.plain

    def business_us(self, start_us: int, end_us: int, team: str) -> int:
        """The working time of a wait by the team's calendar at its start; with no calendar it is all of it."""
        terms = self._first if start_us < self._second_us else self._at(start_us)
        calendar = terms.calendar(team)
        return end_us - start_us if calendar is None else calendar.business_us(start_us, end_us)

    def severity(self, start_us: int, level: str) -> str:
        """The severity of a level for a turn that starts then; raises KeyError for a level that it does not have."""
        terms = self._first if start_us < self._second_us else self._at(start_us)
        return terms.severities[level]

    def _at(self, start_us: int) -> "_Terms":
        return self._later[bisect_right(self._starts, start_us) - 1]


class _Terms:
    """One version, compiled."""

    __slots__ = (
        "_by_key",
        "_calendars",
        "_channels",
        "_default",
        "_levels",
        "_teams",
        "plain",
        "severities",
    )

    def __init__(self, version: PolicyVersion, compiled: dict[int, WorkingCalendar]) -> None:
        named = {name: _compile(spec, compiled) for name, spec in version.calendars.items()}
        self._default = named[version.calendar] if version.calendar is not None else None
        self._calendars = {
            team: named[spec.calendar] for team, spec in version.teams.items() if spec.calendar is not None
        }
        self._levels = version.levels
        self.severities = {level.name: level.severity for level in version.levels}
        self._teams = {team for level in version.levels for team in level.teams} | self._calendars.keys()
        self._channels = {channel for level in version.levels for channel in level.channels}
        self._by_key: dict[_Key, Callable[[int], Due]] = {}
        self.plain = _plain(version.levels)

    def calendar(self, team: str) -> WorkingCalendar | None:
        """The team's calendar, else the policy's."""
        return self._calendars.get(team, self._default)

    def due(self, start_us: int, team: str, priority: str, channel: str) -> Due:
        """Teams and channels that no filter and no calendar names are one, so that free text fills no memory."""
        key = (
            team if team in self._teams else None,
            priority,
            channel if channel in self._channels else None,
        )
        rule = self._by_key.get(key)
        if rule is None:
            rule = self._by_key[key] = self._rule(key)
        return rule(start_us)

    def _rule(self, key: _Key) -> Callable[[int], Due]:
        team, priority, channel = key
        levels = tuple(
            level
            for level in self._levels
            if (not level.teams or team in level.teams)
            and (not level.priorities or priority in level.priorities)
            and (not level.channels or channel in level.channels)
        )
        calendar = self._default if team is None else self.calendar(team)
        if calendar is None or all(level.clock == "calendar" for level in levels):
            return PlainDeadlines(_sums(levels)).due
        business = frozenset(level.name for level in levels if level.clock == "business")
        return _counting(_sums(levels), business, calendar)


def _from_the_beginning(policy: Policy) -> PolicyVersion:
    return PolicyVersion(
        effective_from_us=ALWAYS_US,
        levels=policy.levels,
        calendars=policy.calendars,
        teams=policy.teams,
        calendar=policy.calendar,
    )


def _compile(spec: CalendarSpec, compiled: dict[int, WorkingCalendar]) -> WorkingCalendar:
    """The calendar of a spec: one for all versions that share it."""
    known = compiled.get(id(spec))
    if known is None:
        known = compiled[id(spec)] = WorkingCalendar(spec)
    return known


class PlainDeadlines:
    """Deadlines that are mere sums: every level is in calendar time, and filters nothing."""

    __slots__ = ("_pair", "_sums", "soonest_us")

    def __init__(self, sums: _Sums) -> None:
        self._sums = sums
        self._pair = _pair(sums)
        self.soonest_us = min((due if at_risk is None else at_risk for _, due, at_risk in sums), default=None)
        """From a turn's start to its first instant, at risk or due; None: there is none."""

    def due(self, start_us: int) -> Due:
        """The deadlines of a turn. The usual two levels are written out: this is asked of every turn, repeatedly."""
        if self._pair is not None:
            (first, due_us, risk_us), (second, later_us, later_risk_us) = self._pair
            return (
                (first, start_us + due_us, start_us + risk_us),
                (second, start_us + later_us, start_us + later_risk_us),
            )
        return tuple(
            [(name, start_us + due, None if risk is None else start_us + risk) for name, due, risk in self._sums]
        )


def _pair(sums: _Sums) -> tuple[tuple[str, int, int], tuple[str, int, int]] | None:
    match sums:
        case ((first, due, int(risk)), (second, later, int(later_risk))):
            return (first, due, risk), (second, later, later_risk)
        case _:
            return None


def _plain(levels: tuple[Level, ...]) -> PlainDeadlines | None:
    if any(level.clock != "calendar" or level.priorities or level.teams or level.channels for level in levels):
        return None
    return PlainDeadlines(_sums(levels))


def _sums(levels: tuple[Level, ...]) -> _Sums:
    by_due = sorted(levels, key=lambda level: (level.seconds, level.name))
    return tuple((level.name, level.seconds * SECOND_US, _at_risk_us(level)) for level in by_due)


def _at_risk_us(level: Level) -> int | None:
    return None if level.at_risk_share is None else round(level.seconds * SECOND_US * level.at_risk_share)


def _counting(sums: _Sums, business: frozenset[str], calendar: WorkingCalendar) -> Callable[[int], Due]:
    """Due instants where some levels count working time."""

    def one(start_us: int, name: str, span_us: int, risk_us: int | None) -> tuple[str, int, int | None]:
        if name not in business:
            return name, start_us + span_us, None if risk_us is None else start_us + risk_us
        due_us = calendar.last_within(start_us, span_us)
        return name, due_us, None if risk_us is None else calendar.add_business(start_us, risk_us)

    def rule(start_us: int) -> Due:
        due = [one(start_us, *terms) for terms in sums]
        due.sort(key=lambda entry: (entry[1], entry[0]))
        return tuple(due)

    return rule
