"""When a turn is due: by level, filters, the team's calendar and the policy's version at its start."""

from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest

from processors.core.state.deadlines import Deadlines, Due
from processors.core.time.working_time import NoWorkingTime
from processors.core.time.zones import UnknownZone
from schemas.policy import DEFAULT_POLICY, CalendarSpec, Hours, Level, Policy, PolicyVersion, TeamPolicy

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US

OFFICE: Hours = ((540, 720), (780, 1050))
BERLIN = CalendarSpec(time_zone="Europe/Berlin", week=(OFFICE,) * 5 + ((),) * 2)
NEW_YORK = CalendarSpec(time_zone="America/New_York", week=(OFFICE,) * 5 + ((),) * 2)


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def policy(*levels: Level, **parts: object) -> Policy:
    return Policy(levels=levels, pipelines={}, **parts)  # type: ignore[arg-type]


def due(of: Policy, start_us: int, team: str = "sales", priority: str = "normal", channel: str = "email") -> Due:
    return Deadlines(of).due(start_us, team, priority, channel)


def names(deadlines: Due) -> list[str]:
    return [level for level, _, _ in deadlines]


def test_s14_by_default_a_turn_is_due_after_one_hour_and_after_a_day() -> None:
    start = us("2026-06-05T16:59:59.999999+02:00")
    assert due(DEFAULT_POLICY, start) == (
        ("1h", start + HOUR_US, start + 48 * 60 * SECOND_US),
        ("24h", start + 24 * HOUR_US, start + 24 * HOUR_US * 8 // 10),
    )


def test_s14_there_may_be_any_number_of_levels() -> None:
    many = [Level(name=f"{minutes}m", seconds=60 * minutes) for minutes in range(1, 40)]
    shuffled = Random(1).sample(many, len(many))
    assert names(due(policy(*shuffled), 0)) == [level.name for level in many]
    assert due(policy(), 0) == ()
    assert names(due(policy(many[3]), 0)) == ["4m"]


def test_s14_at_risk_is_a_share_of_the_level_or_never() -> None:
    half = Level(name="half", seconds=100, at_risk_share=0.5)
    never = Level(name="never", seconds=200, at_risk_share=None)
    assert due(policy(half, never), 0) == (
        ("half", 100 * SECOND_US, 50 * SECOND_US),
        ("never", 200 * SECOND_US, None),
    )


def test_s14_levels_with_the_same_due_instant_come_by_name() -> None:
    assert names(due(policy(Level(name="b", seconds=60), Level(name="a", seconds=60)), 7)) == ["a", "b"]


@pytest.mark.parametrize(
    ("team", "priority", "channel", "expected"),
    [
        ("sales", "normal", "email", ["all"]),
        ("sales", "urgent", "email", ["urgent", "all"]),
        ("sales", "high", "email", ["urgent", "all"]),
        ("sales", "low", "chat", ["chat", "all"]),
        ("vip", "low", "email", ["vip", "all"]),
        ("vip", "urgent", "chat", ["chat", "urgent", "vip", "vip-urgent-chat", "all"]),
        ("unknown", "normal", "a channel that no level names", ["all"]),
    ],
)
def test_s14_filters_narrow_a_level_down(team: str, priority: str, channel: str, expected: list[str]) -> None:
    filtered = policy(
        Level(name="chat", seconds=60, channels=("chat", "phone")),
        Level(name="urgent", seconds=120, priorities=("urgent", "high")),
        Level(name="vip", seconds=180, teams=("vip",)),
        Level(name="vip-urgent-chat", seconds=240, teams=("vip",), priorities=("urgent",), channels=("chat",)),
        Level(name="all", seconds=300),
    )
    assert names(due(filtered, 0, team, priority, channel)) == expected


def test_free_words_fill_no_memory() -> None:
    """Channels and teams are whatever senders write: only those that a filter names are told apart."""
    deadlines = Deadlines(policy(Level(name="chat", seconds=60, channels=("chat",))))
    for number in range(1000):
        assert deadlines.due(number, f"team {number}", "normal", f"channel {number}") == ()
    assert names(deadlines.due(0, "sales", "normal", "chat")) == ["chat"]
    assert len(deadlines._first._by_key) == 2


def test_s15_the_deadline_is_by_the_calendar_of_the_team_at_the_start() -> None:
    level = Level(name="4h", seconds=4 * 3600, clock="business")
    teams = {"berlin": TeamPolicy(calendar="berlin"), "york": TeamPolicy(calendar="york"), "other": TeamPolicy()}
    shifts = policy(level, calendars={"berlin": BERLIN, "york": NEW_YORK}, teams=teams, calendar="york")
    start = us("2026-06-05T16:30+02:00")
    assert due(shifts, start, "berlin")[0][1] == us("2026-06-08T13:00+02:00")
    assert due(shifts, start, "york")[0][1] == us("2026-06-05T15:30-04:00")
    assert due(shifts, start, "other") == due(shifts, start, "nobody") == due(shifts, start, "york")


def test_s16_a_level_in_working_time_may_come_after_one_in_calendar_time() -> None:
    """The order is that of the due instants, whatever the seconds say; at risk counts working time too."""
    mixed = policy(
        Level(name="1h", seconds=3600, clock="business", at_risk_share=0.5),
        Level(name="24h", seconds=86400, at_risk_share=None),
        calendars={"office": BERLIN},
        calendar="office",
    )
    start = us("2026-06-05T17:00+02:00")
    assert due(mixed, start) == (
        ("24h", us("2026-06-06T17:00+02:00"), None),
        ("1h", us("2026-06-08T09:30+02:00"), us("2026-06-05T17:30+02:00")),
    )


def test_s16_24_hours_of_working_time_are_24_working_hours() -> None:
    day = policy(Level(name="24h", seconds=86400, clock="business"), calendars={"office": BERLIN}, calendar="office")
    assert due(day, us("2026-06-01T09:00+02:00"))[0][1] == us("2026-06-04T10:30+02:00")


def test_a_turn_keeps_the_version_in_force_at_its_start() -> None:
    before, change = us("2026-12-31T23:59:59.999999Z"), us("2027-01-01T00:00Z")
    versioned = policy(
        Level(name="1h", seconds=3600, severity="info"),
        Level(name="old", seconds=7200),
        versions=(
            PolicyVersion(effective_from_us=change, levels=(Level(name="1h", seconds=1800, severity="critical"),)),
            PolicyVersion(
                effective_from_us=change + HOUR_US,
                levels=(Level(name="4h", seconds=4 * 3600, clock="business"),),
                calendars={"office": BERLIN},
                calendar="office",
            ),
        ),
    )
    assert names(due(versioned, before)) == ["1h", "old"]
    assert due(versioned, before)[0][1] == before + HOUR_US
    assert due(versioned, change)[0][1] == change + HOUR_US // 2
    assert names(due(versioned, change + HOUR_US - 1)) == ["1h"]
    assert due(versioned, change + HOUR_US)[0][:2] == ("4h", us("2027-01-01T14:00+01:00"))
    assert versioned.level_names == ("1h", "old", "4h")


def test_s12_working_time_is_by_the_calendar_at_the_start_of_the_wait() -> None:
    change = us("2026-06-05T12:00Z")
    versioned = policy(
        calendars={"office": BERLIN},
        teams={"sales": TeamPolicy(calendar="office")},
        versions=(PolicyVersion(effective_from_us=change, levels=()),),
    )
    deadlines = Deadlines(versioned)
    start, end = us("2026-06-05T11:00Z"), us("2026-06-08T08:00Z")
    assert deadlines.business_us(start, end, "sales") == int(5.5 * HOUR_US)
    assert deadlines.business_us(start, end, "unknown") == end - start
    assert deadlines.business_us(change, end, "sales") == end - change


def test_s14_a_severity_is_that_of_the_version_in_force_at_the_start_of_the_turn() -> None:
    later = PolicyVersion(effective_from_us=5, levels=(Level(name="1h", seconds=60, severity="critical"),))
    deadlines = Deadlines(
        policy(Level(name="1h", seconds=60), Level(name="2h", seconds=60, severity="info"), versions=(later,))
    )
    assert [deadlines.severity(at, "1h") for at in (4, 5)] == ["warning", "critical"]
    assert deadlines.severity(4, "2h") == "info"
    with pytest.raises(KeyError, match="2h"):
        deadlines.severity(5, "2h")


def test_s16_a_calendar_that_cannot_be_is_told_at_once() -> None:
    for week, zone, error in ((((),) * 7, "UTC", NoWorkingTime), ((OFFICE,) * 7, "Mars/Olympus", UnknownZone)):
        with pytest.raises(error):
            Deadlines(policy(calendars={"office": CalendarSpec(time_zone=zone, week=week)}))


def test_s15_a_deadline_years_ahead_is_found() -> None:
    years = policy(
        Level(name="long", seconds=20 * 365 * 86400, clock="business"), calendars={"o": BERLIN}, calendar="o"
    )
    start = us("2026-06-01T09:00+02:00")
    (_, due_us, _) = due(years, start)[0]
    assert Deadlines(years).business_us(start, due_us, "sales") == 20 * 365 * 86400 * SECOND_US
    assert date(2110, 1, 1) < (EPOCH + timedelta(microseconds=due_us)).date() < date(2116, 12, 31)


def test_s09_a_target_used_up_at_closing_time_is_due_at_the_next_opening() -> None:
    """Asked on Friday an hour before closing: until Monday morning no more than that hour is worked."""
    hour = Level(name="1h", seconds=3600, clock="business", at_risk_share=0.5)
    office = policy(hour, calendars={"office": BERLIN}, calendar="office")
    ((_, due_us, at_risk_us),) = due(office, us("2026-06-05T16:30+02:00"))
    assert (due_us, at_risk_us) == (us("2026-06-08T09:00+02:00"), us("2026-06-05T17:00+02:00"))


def test_s09_a_target_used_up_at_the_lunch_break_is_due_after_it() -> None:
    hour = Level(name="1h", seconds=3600, clock="business", at_risk_share=None)
    office = policy(hour, calendars={"office": BERLIN}, calendar="office")
    assert due(office, us("2026-06-05T11:00+02:00")) == (("1h", us("2026-06-05T13:00+02:00"), None),)


def test_s14_a_warning_at_closing_time_does_not_wait_for_the_next_opening() -> None:
    level = Level(name="2h", seconds=7200, clock="business", at_risk_share=0.5)
    office = policy(level, calendars={"office": BERLIN}, calendar="office")
    ((_, due_us, at_risk_us),) = due(office, us("2026-06-05T16:30+02:00"))
    assert (due_us, at_risk_us) == (us("2026-06-08T10:00+02:00"), us("2026-06-05T17:30+02:00"))
