"""The structure of `policy.toml` as people write it. `config/load_policy.py` makes a Policy from it."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from config.values import Instant
from schemas.events import Priority
from schemas.policy import DEFAULT_AT_RISK_SHARE, KINDS, Severity

LevelName = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$", description="1 to 64 letters, digits, dots, dashes and underscores"),
]
LevelSeconds = Annotated[
    int,
    Meta(ge=1, le=3_153_600_000, description="a whole number of seconds, 1 to 3153600000 (a hundred years)"),
]
Share = Annotated[float, Meta(ge=0, lt=1, description="a share, 0 (never at risk) to less than 1")]
LevelSeverity = Annotated[Severity, Meta(description="info, warning or critical")]
LevelClock = Annotated[Literal["calendar", "business"], Meta(description="calendar or business")]
Priorities = Annotated[tuple[Priority, ...], Meta(description="a list of low, normal, high and urgent")]
ShortText = Annotated[str, Meta(min_length=1, max_length=128, description="a text of 1 to 128 characters")]
ShortTexts = Annotated[tuple[ShortText, ...], Meta(description="a list of texts of 1 to 128 characters")]
Zone = Annotated[str, Meta(description="an IANA time zone such as Europe/Berlin")]
Stages = Annotated[tuple[ShortText, ...], Meta(min_length=1, description="a list of stages, in order, at least one")]
Kinds = Annotated[
    tuple[ShortText, ...], Meta(max_length=64, description="a list of at most 64 texts of 1 to 128 characters")
]
Intervals = Annotated[
    tuple[str, ...],
    Meta(description='a list of intervals such as ["09:00-12:00", "13:00-17:30"], or [] for closed'),
]
Holidays = Annotated[
    tuple[str, ...],
    Meta(description='a list of countries or their parts, such as ["US", "DE-BE"] (ISO 3166)'),
]
CurrencyCode = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="three capital letters such as USD (ISO 4217)")]


class LevelDocument(msgspec.Struct, kw_only=True):
    """One of `[[levels]]`."""

    name: LevelName
    seconds: LevelSeconds
    severity: LevelSeverity = "warning"
    clock: LevelClock = "calendar"
    at_risk_share: Share | None = None
    priorities: Priorities = ()
    teams: ShortTexts = ()
    channels: ShortTexts = ()


class CalendarDocument(msgspec.Struct, kw_only=True):
    """One of `[calendars.<name>]`."""

    time_zone: Zone
    hours: dict[str, Intervals]
    exceptions: dict[str, Intervals] = {}
    holidays: Holidays = ()


class TeamDocument(msgspec.Struct, kw_only=True):
    """One of `[teams.<name>]`."""

    calendar: ShortText | None = None
    time_zone: Zone | None = None


class VersionTeamDocument(msgspec.Struct, kw_only=True):
    """One of `[versions.teams.<name>]`. No version moves a team's zone: by it, days are counted already."""

    calendar: ShortText


class VersionDocument(msgspec.Struct, kw_only=True):
    """One of `[[versions]]`. What it leaves out stays as before."""

    effective_from: Instant
    levels: tuple[LevelDocument, ...] | None = None
    calendars: dict[str, CalendarDocument] = {}
    teams: dict[str, VersionTeamDocument] = {}
    calendar: ShortText | None = None
    at_risk_share: Share | None = None


class ActivitiesDocument(msgspec.Struct, kw_only=True, frozen=True):
    """`[activities]`."""

    kinds: Kinds = KINDS


class PolicyDocument(msgspec.Struct, kw_only=True):
    """The whole of `policy.toml`."""

    levels: tuple[LevelDocument, ...]
    pipelines: dict[str, Stages]
    calendars: dict[str, CalendarDocument] = {}
    teams: dict[str, TeamDocument] = {}
    calendar: ShortText | None = None
    time_zone: Zone = "UTC"
    currency: CurrencyCode = "USD"
    at_risk_share: Share = DEFAULT_AT_RISK_SHARE
    activities: ActivitiesDocument = ActivitiesDocument()
    versions: tuple[VersionDocument, ...] = ()
