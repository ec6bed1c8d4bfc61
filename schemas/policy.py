"""The policy: levels of waiting, working calendars, teams and pipelines, as everything downstream reads it.

This is the resolved form: hours are minutes, dates are day numbers, holidays are dated exceptions and every version is
complete. `config/load_policy.py` makes it from `policy.toml`, which people write; tests may build it directly.
"""

from typing import Literal

import msgspec

from schemas.events import Priority

LevelClock = Literal["calendar", "business"]
Severity = Literal["info", "warning", "critical"]

Hours = tuple[tuple[int, int], ...]
"""Working intervals of one local day: (start, end) in minutes since midnight, half-open, ascending, at most 1440."""

DEFAULT_AT_RISK_SHARE = 0.8
CLOSED: Hours = ()
KINDS = ("call", "email", "meeting", "demo")
"""The kinds of activity of a policy that lists none."""
ALWAYS_US = -(2**63)
"""The `effective_from_us` of what holds from the beginning of time."""


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """One deadline of a turn: it fires when a customer has waited `seconds` (S14). An empty filter lets all pass."""

    name: str
    seconds: int
    severity: Severity = "warning"
    clock: LevelClock = "calendar"
    at_risk_share: float | None = DEFAULT_AT_RISK_SHARE
    """The share of `seconds` after which the turn is at risk; None: it never is."""
    priorities: tuple[Priority, ...] = ()
    teams: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


class CalendarSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Working hours by the wall clock of one IANA zone (S16)."""

    time_zone: str = "UTC"
    week: tuple[Hours, ...]
    """Seven entries, Monday first."""
    exceptions: dict[int, Hours] = {}
    """Days since 1970-01-01 whose hours differ from the week's; CLOSED: no working time."""


class TeamPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for a team; absent: what holds for all."""

    calendar: str | None = None
    time_zone: str | None = None
    """The zone of its reps that name none themselves."""


class PolicyVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for turns that start at `effective_from_us` (microseconds since 1970) or later, complete in itself."""

    effective_from_us: int
    levels: tuple[Level, ...]
    calendars: dict[str, CalendarSpec] = {}
    teams: dict[str, TeamPolicy] = {}
    calendar: str | None = None


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What holds. Levels, calendars and teams here are those from the beginning of time; `versions` supersede them."""

    levels: tuple[Level, ...]
    pipelines: dict[str, tuple[str, ...]]
    """Pipeline to its stages, in order (S22)."""
    calendars: dict[str, CalendarSpec] = {}
    teams: dict[str, TeamPolicy] = {}
    calendar: str | None = None
    """The calendar of a team that names none; None: every instant is working time."""
    time_zone: str = "UTC"
    """The zone of a rep for whom neither the directory nor the team names one."""
    currency: str = "USD"
    kinds: tuple[str, ...] = KINDS
    """Kinds of activity that always have a count of their own, however many others there are."""
    versions: tuple[PolicyVersion, ...] = ()
    """Ascending by `effective_from_us`. A turn keeps the version in force at its start."""

    @property
    def level_names(self) -> tuple[str, ...]:
        """The names of the levels of all versions, each once, in the order of the file."""
        versions = (self.levels, *(version.levels for version in self.versions))
        return tuple(dict.fromkeys(level.name for levels in versions for level in levels))


DEFAULT_POLICY = Policy(
    levels=(
        Level(name="1h", seconds=3600, severity="warning"),
        Level(name="24h", seconds=86400, severity="critical"),
    ),
    pipelines={"default": ("prospecting", "qualified", "demo", "trial", "proposal", "negotiation")},
)
"""The policy of `config/policy.toml` as shipped."""
