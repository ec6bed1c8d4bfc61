"""A policy file defines what holds, and a mistake in it is reported with its line, its value and what is allowed."""

import re
from datetime import UTC, date, datetime

import pytest

from config.load_policy import load_policy, parse_policy
from config.settings import HERE
from processors.core.state.deadlines import Deadlines
from schemas.policy import CLOSED, DEFAULT_POLICY, Level, Policy, TeamPolicy

SHIPPED = HERE / "policy.toml"
BASE = """\
[[levels]]
name = "1h"
seconds = 3600

[pipelines]
default = ["new", "offer"]
"""
OFFICE = """\
[calendars.office]
time_zone = "Europe/Berlin"
holidays = ["DE-BE"]
[calendars.office.hours]
mon-thu = ["09:00-12:00", "13:00-17:30"]
fri = ["09:00-14:00"]
[calendars.office.exceptions]
2026-12-24 = ["09:00-12:00"]
2026-12-25 = ["10:00-11:00"]
2026-12-31 = []
"""


def parse(*parts: str) -> Policy:
    return parse_policy("\n".join((BASE, *parts)), "policy.toml")


def day(iso: str) -> int:
    return date.fromisoformat(iso).toordinal() - date(1970, 1, 1).toordinal()


def us(iso: str) -> int:
    return int(datetime.fromisoformat(iso).replace(tzinfo=UTC).timestamp()) * 1_000_000


def uncommented(text: str) -> str:
    """The shipped file with its examples switched on."""
    return re.sub(r"^# (?=\[|[a-z0-9_-]+ = )", "", text, flags=re.MULTILINE)


def test_the_shipped_policy_is_the_default_one() -> None:
    assert load_policy(SHIPPED) == DEFAULT_POLICY


def test_the_examples_in_the_shipped_policy_work() -> None:
    policy = parse_policy(uncommented(SHIPPED.read_text(encoding="utf-8")), "policy.toml")
    assert policy.level_names == ("1h", "24h", "urgent-15m")
    assert policy.calendar == "office"
    assert policy.teams["inside-sales"] == TeamPolicy(calendar="office", time_zone="Europe/Berlin")
    assert [version.levels[0].clock for version in policy.versions] == ["business"]
    assert Deadlines(policy).severity(0, "urgent-15m") == "critical"


def test_s14_a_level_says_everything_of_itself() -> None:
    policy = parse(
        '[[levels]]\nname = "urgent"\nseconds = 900\nseverity = "critical"\nat_risk_share = 0.5\n'
        'priorities = ["urgent", "high"]\nteams = ["a"]\nchannels = ["chat"]\n',
    )
    assert policy.levels == (
        Level(name="1h", seconds=3600),
        Level(
            name="urgent",
            seconds=900,
            severity="critical",
            at_risk_share=0.5,
            priorities=("urgent", "high"),
            teams=("a",),
            channels=("chat",),
        ),
    )


def test_s14_a_share_of_zero_is_never_at_risk() -> None:
    assert parse_policy("at_risk_share = 0\n" + BASE, "p").levels[0].at_risk_share is None
    assert parse("[[levels]]\nname='x'\nseconds=1\nat_risk_share=0").levels[1].at_risk_share is None


def test_s16_hours_of_a_range_of_weekdays_hold_for_each() -> None:
    week = parse(OFFICE).calendars["office"].week
    assert week == (((540, 720), (780, 1050)),) * 4 + (((540, 840),),) + (CLOSED,) * 2


def test_s16_an_interval_may_end_at_midnight_and_touch_the_next() -> None:
    text = "[calendars.c]\ntime_zone='UTC'\nhours.sun = ['00:00-06:00', '06:00-24:00']"
    assert parse(text).calendars["c"].week[6] == ((0, 360), (360, 1440))


def test_s16_holidays_close_and_dated_exceptions_say_more() -> None:
    exceptions = parse(OFFICE).calendars["office"].exceptions
    assert exceptions[day("2026-03-08")] == CLOSED, "Women's Day is a holiday of Berlin"
    assert exceptions[day("2026-12-24")] == ((540, 720),)
    assert exceptions[day("2026-12-25")] == ((600, 660),), "own hours on a holiday"
    assert exceptions[day("2026-12-31")] == CLOSED
    assert day("2026-06-03") not in exceptions


def test_s16_holidays_of_a_part_are_not_those_of_the_country() -> None:
    country = parse(OFFICE.replace("DE-BE", "DE")).calendars["office"].exceptions
    assert day("2026-03-08") not in country
    assert country[day("2026-10-03")] == CLOSED


def test_s16_holidays_that_are_known_for_few_years_do_not_warn(recwarn: pytest.WarningsRecorder) -> None:
    assert parse(OFFICE.replace("DE-BE", "IN")).calendars["office"].exceptions[day("2026-01-26")] == CLOSED
    assert not recwarn.list


def test_a_version_keeps_what_it_leaves_out() -> None:
    policy = parse(
        OFFICE,
        '[teams.a]\ncalendar = "office"\ntime_zone = "Asia/Tokyo"\n[teams.b]\n',
        "[[versions]]\neffective_from = 2027-01-01T00:00:00Z\nat_risk_share = 0.5\n",
        "[[versions]]\neffective_from = 2027-07-01T00:00:00+02:00\ncalendar = 'night'\n"
        "[[versions.levels]]\nname = '2h'\nseconds = 7200\nclock = 'business'\n"
        "[versions.calendars.night]\ntime_zone = 'UTC'\nhours.mon = ['00:00-05:00']\n"
        "[versions.teams.a]\ncalendar = 'night'\n",
    )
    first, second = policy.versions
    assert first.effective_from_us == us("2027-01-01T00:00")
    assert first.levels == (Level(name="1h", seconds=3600, at_risk_share=0.5),)
    assert (first.calendars, first.teams, first.calendar) == (policy.calendars, policy.teams, None)
    assert second.effective_from_us == us("2027-06-30T22:00")
    assert second.levels == (Level(name="2h", seconds=7200, clock="business", at_risk_share=0.5),)
    assert set(second.calendars) == {"office", "night"}
    assert second.teams == {"a": TeamPolicy(calendar="night", time_zone="Asia/Tokyo"), "b": TeamPolicy()}
    assert second.calendar == "night"


def test_s22_pipelines_keep_the_order_of_their_stages() -> None:
    policy = parse('renewal = ["ask", "new", "sign"]')
    assert policy.pipelines == {"default": ("new", "offer"), "renewal": ("ask", "new", "sign")}


def test_working_time_for_teams_that_all_have_a_calendar_needs_no_other() -> None:
    text = BASE.replace("3600", "3600\nclock = 'business'\nteams = ['a']") + OFFICE + "[teams.a]\ncalendar='office'"
    assert parse_policy(text, "policy.toml").levels[0].clock == "business"
