"""`policy.toml` as a Policy: typed, checked for sense, with holidays as dates and every version complete."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from zoneinfo import available_timezones

from config.policy_document import (
    CalendarDocument,
    LevelDocument,
    PolicyDocument,
    TeamDocument,
    VersionDocument,
    VersionTeamDocument,
)
from config.toml_document import TomlDocument, hint
from config.toml_lines import KeyPath
from config.working_hours import holiday_days, parse_date, parse_hours, parse_weekdays
from processors.core.state.first_names import OTHER
from processors.core.time.working_time import NoWorkingTime, WorkingCalendar
from processors.core.time.zones import UnknownZone, zone_days
from schemas.policy import ALWAYS_US, CLOSED, CalendarSpec, Hours, Level, Policy, PolicyVersion, TeamPolicy

T = TypeVar("T")

BEFORE_STAGES = "_none"
"""The name under which opportunities before their first stage are counted."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def load_policy(path: Path) -> Policy:
    """The policy of a file; raises ConfigError, which names file, line, key, value and what is allowed."""
    return _policy(TomlDocument.load(path))


def parse_policy(text: str, name: str) -> Policy:
    """The policy of a TOML text; `name` is what errors call it. Raises ConfigError."""
    return _policy(TomlDocument(name, text))


def _policy(document: TomlDocument) -> Policy:
    written = document.read(PolicyDocument)
    builder = _Builder(document)
    first = builder.first(written)
    builder.check_zone(("time_zone",), written.time_zone)
    return Policy(
        levels=first.levels,
        pipelines={name: builder.stages(name, stages) for name, stages in written.pipelines.items()},
        calendars=first.calendars,
        teams=first.teams,
        calendar=first.calendar,
        time_zone=written.time_zone,
        currency=written.currency,
        kinds=builder.kinds(written.activities.kinds),
        versions=tuple(builder.versions(first, written)),
    )


class _Builder:
    """Makes the parts of a policy from those of one document."""

    def __init__(self, document: TomlDocument) -> None:
        self._document = document

    def first(self, written: PolicyDocument) -> PolicyVersion:
        """What holds from the beginning of time."""
        calendars = {name: self._calendar(("calendars", name), spec) for name, spec in written.calendars.items()}
        version = PolicyVersion(
            effective_from_us=ALWAYS_US,
            levels=self._levels((), written.levels, written.at_risk_share),
            calendars=calendars,
            teams={name: self._team(("teams", name), team, calendars) for name, team in written.teams.items()},
            calendar=self._known_calendar(("calendar",), written.calendar, calendars),
        )
        self._check_business((), version)
        return version

    def versions(self, first: PolicyVersion, written: PolicyDocument) -> Iterable[PolicyVersion]:
        """The later versions, each complete: what one leaves out is as in the one before."""
        before, levels, share = first, written.levels, written.at_risk_share
        for number, version in enumerate(written.versions):
            path: KeyPath = ("versions", number)
            levels = levels if version.levels is None else version.levels
            share = share if version.at_risk_share is None else version.at_risk_share
            before = self._version(path, version, before, self._levels(path, levels, share))
            yield before

    def stages(self, pipeline: str, stages: tuple[str, ...]) -> tuple[str, ...]:
        """The stages of a pipeline, each once."""
        twice = _repeated(stages)
        if twice is not None:
            raise self._document.error(("pipelines", pipeline), f"{twice!r} is there twice; allowed: each stage once")
        if BEFORE_STAGES in stages:
            problem = f"{BEFORE_STAGES!r} stands for the time before the first stage; allowed: any other name"
            raise self._document.error(("pipelines", pipeline), problem)
        return stages

    def kinds(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """The kinds of activity that always have a count of their own, each once."""
        twice = _repeated(kinds)
        if twice is not None:
            raise self._document.error(("activities", "kinds"), f"{twice!r} is there twice; allowed: each kind once")
        if OTHER in kinds:
            problem = f"{OTHER!r} stands for the kinds without room; allowed: any other name"
            raise self._document.error(("activities", "kinds"), problem)
        return kinds

    def check_zone(self, path: KeyPath, name: str) -> None:
        """Raises ConfigError for a zone that the IANA database does not know."""
        try:
            zone_days(name)
        except UnknownZone as error:
            problem = f"is no time zone{hint(name, available_timezones())}; allowed: an IANA name such as Europe/Berlin"
            raise self._document.error(path, problem) from error

    def _version(
        self,
        path: KeyPath,
        written: VersionDocument,
        before: PolicyVersion,
        levels: tuple[Level, ...],
    ) -> PolicyVersion:
        specs = {name: self._calendar((*path, "calendars", name), spec) for name, spec in written.calendars.items()}
        calendars = before.calendars | specs
        named = self._known_calendar((*path, "calendar"), written.calendar, calendars)
        version = PolicyVersion(
            effective_from_us=self._effective_from(path, written, before),
            levels=levels,
            calendars=calendars,
            teams=before.teams | self._version_teams(path, written.teams, before, calendars),
            calendar=before.calendar if named is None else named,
        )
        self._check_business(path, version)
        return version

    def _effective_from(self, path: KeyPath, written: VersionDocument, before: PolicyVersion) -> int:
        at_us = (written.effective_from - _EPOCH) // timedelta(microseconds=1)
        if at_us <= before.effective_from_us:
            problem = "is not after the version before; allowed: versions in the order of their instants"
            raise self._document.error((*path, "effective_from"), problem)
        return at_us

    def _levels(self, path: KeyPath, written: tuple[LevelDocument, ...], share: float) -> tuple[Level, ...]:
        names: set[str] = set()
        for number, level in enumerate(written):
            if level.name in names:
                problem = "is the name of another level too; allowed: a name of its own for each level"
                raise self._document.error((*path, "levels", number, "name"), problem)
            names.add(level.name)
        return tuple(_level(level, share) for level in written)

    def _calendar(self, path: KeyPath, written: CalendarDocument) -> CalendarSpec:
        self.check_zone((*path, "time_zone"), written.time_zone)
        closed = dict.fromkeys(self._holidays(path, written), CLOSED)
        spec = CalendarSpec(
            time_zone=written.time_zone,
            week=self._week((*path, "hours"), written.hours),
            exceptions=closed | self._exceptions((*path, "exceptions"), written.exceptions),
        )
        try:
            WorkingCalendar(spec)
        except NoWorkingTime as error:
            problem = f"{error}; allowed: a calendar with working time in every 366 days"
            raise self._document.error(path, problem) from error
        return spec

    def _holidays(self, path: KeyPath, written: CalendarDocument) -> frozenset[int]:
        places = (self._parsed((*path, "holidays"), holiday_days, place) for place in written.holidays)
        return frozenset[int]().union(*places)

    def _week(self, path: KeyPath, written: dict[str, tuple[str, ...]]) -> tuple[Hours, ...]:
        week: dict[int, Hours] = {}
        for key, intervals in written.items():
            hours = self._parsed((*path, key), parse_hours, intervals)
            for weekday in self._parsed((*path, key), parse_weekdays, key):
                if weekday in week:
                    problem = "names a weekday that another line names too; allowed: each weekday once"
                    raise self._document.error((*path, key), problem)
                week[weekday] = hours
        return tuple(week.get(weekday, CLOSED) for weekday in range(7))

    def _exceptions(self, path: KeyPath, written: dict[str, tuple[str, ...]]) -> dict[int, Hours]:
        return {
            self._parsed((*path, key), parse_date, key): self._parsed((*path, key), parse_hours, intervals)
            for key, intervals in written.items()
        }

    def _team(self, path: KeyPath, written: TeamDocument, calendars: Collection[str]) -> TeamPolicy:
        if written.time_zone is not None:
            self.check_zone((*path, "time_zone"), written.time_zone)
        calendar = self._known_calendar((*path, "calendar"), written.calendar, calendars)
        return TeamPolicy(calendar=calendar, time_zone=written.time_zone)

    def _version_teams(
        self,
        path: KeyPath,
        written: dict[str, VersionTeamDocument],
        before: PolicyVersion,
        calendars: Collection[str],
    ) -> dict[str, TeamPolicy]:
        teams = {}
        for name, team in written.items():
            calendar = self._known_calendar((*path, "teams", name, "calendar"), team.calendar, calendars)
            teams[name] = TeamPolicy(calendar=calendar, time_zone=before.teams.get(name, TeamPolicy()).time_zone)
        return teams

    def _known_calendar(self, path: KeyPath, name: str | None, calendars: Collection[str]) -> str | None:
        if name is not None and name not in calendars:
            raise self._document.unknown(path, name, calendars)
        return name

    def _check_business(self, path: KeyPath, version: PolicyVersion) -> None:
        """A level in working time needs a calendar for every team that it is for."""
        with_calendar = {name for name, team in version.teams.items() if team.calendar is not None}
        for number, level in enumerate(version.levels):
            covered = bool(level.teams) and with_calendar.issuperset(level.teams)
            if level.clock == "business" and version.calendar is None and not covered:
                problem = (
                    f"level {level.name!r} counts working time, but not every team has a calendar; "
                    "allowed: calendar = \"...\" for all teams, or 'teams' of which each has a calendar"
                )
                raise self._document.error((*path, "levels", number, "clock"), problem)

    def _parsed(self, path: KeyPath, parse: Callable[..., T], value: object) -> T:
        try:
            return parse(value)
        except ValueError as error:
            raise self._document.error(path, str(error)) from error


def _level(written: LevelDocument, share: float) -> Level:
    own = share if written.at_risk_share is None else written.at_risk_share
    return Level(
        name=written.name,
        seconds=written.seconds,
        severity=written.severity,
        clock=written.clock,
        at_risk_share=own or None,
        priorities=written.priorities,
        teams=written.teams,
        channels=written.channels,
    )


def _repeated(names: tuple[str, ...]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
