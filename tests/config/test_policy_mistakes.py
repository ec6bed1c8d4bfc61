"""Every mistake in a policy file is one line of error: file, line, key, value and what is allowed."""

import re
from pathlib import Path

import pytest

from config.load_policy import load_policy, parse_policy
from config.settings import HERE
from schemas.errors import ConfigError

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


MISTAKES = {
    "a text for a number": (
        BASE.replace("3600", '"1 hour"'),
        "policy.toml:3: levels[0].seconds = '1 hour': Expected int, got str; allowed: a whole number of seconds, 1 to",
    ),
    "a kind of activity twice": (
        BASE + '[activities]\nkinds = ["call", "call"]',
        "policy.toml:8: activities.kinds = ['call', 'call']: 'call' is there twice; allowed: each kind once",
    ),
    "the name of all other kinds": (
        BASE + '[activities]\nkinds = ["_other"]',
        "policy.toml:8: activities.kinds = ['_other']: '_other' stands for the kinds without room; allowed: any other",
    ),
    "no time at all": (
        BASE.replace("3600", "0"),
        "policy.toml:3: levels[0].seconds = 0: Expected int >= 1; allowed: a",
    ),
    "a severity of one's own": (
        BASE.replace("3600", '60\nseverity = "loud"'),
        "policy.toml:4: levels[0].severity = 'loud': Invalid enum value 'loud'; allowed: info, warning or critical",
    ),
    "a key misspelt": (
        BASE.replace("seconds", "secnods"),
        "policy.toml:3: levels[0].secnods = 3600: 'secnods' is not known (did you mean seconds?); allowed: name,",
    ),
    "a key left out": (
        BASE.replace("seconds = 3600", ""),
        "policy.toml:1: levels[0].seconds: is missing; allowed: a whole number of seconds",
    ),
    "no levels": (
        "[pipelines]\n",
        "policy.toml: levels: is missing; allowed: one or more [[levels]]",
    ),
    "no pipelines": (
        "levels = []",
        "policy.toml: pipelines: is missing; allowed: [pipelines] with its keys below it",
    ),
    "one table for a list of them": (
        BASE.replace("[[levels]]", "[levels]"),
        "policy.toml:1: levels: is no list of tables; allowed: [[levels]] with its keys below it",
    ),
    "a value for a table": (
        "calendars.office = 3\n" + BASE,
        "policy.toml:1: calendars.office = 3: is no table; allowed: [calendars.office] with its keys below it",
    ),
    "a priority that is none": (
        BASE.replace("3600", '60\npriorities = [\n  "low",\n  "asap",\n]'),
        "policy.toml:4: levels[0].priorities = ['low', 'asap']: Invalid enum value 'asap'; allowed: a list of low,",
    ),
    "a share of the whole": (
        "at_risk_share = 1.0\n" + BASE,
        "policy.toml:1: at_risk_share = 1.0: Expected float < 1.0; allowed: a share, 0 (never at risk) to less than 1",
    ),
    "a level's name that is no label": (
        BASE.replace('"1h"', '"1 h"'),
        "policy.toml:2: levels[0].name = '1 h': does not fit; allowed: ",
    ),
    "two levels of one name": (
        BASE + "[[levels]]\nname = '1h'\nseconds = 5",
        "policy.toml:8: levels[1].name = '1h': is the name of another level too; allowed: a name of its own",
    ),
    "an unknown zone": (
        "time_zone = 'Europe/Berln'\n" + BASE,
        "policy.toml:1: time_zone = 'Europe/Berln': is no time zone (did you mean Europe/Berlin?); allowed: an IANA",
    ),
    "a calendar in an unknown zone": (
        BASE + OFFICE.replace("Europe/Berlin", "CEST"),
        "policy.toml:8: calendars.office.time_zone = 'CEST': is no time zone",
    ),
    "a team in an unknown zone": (
        BASE + "[teams.a]\ntime_zone = ''",
        "policy.toml:8: teams.a.time_zone = '': is no time zone",
    ),
    "a currency in words": (
        "currency = 'Euro'\n" + BASE,
        "policy.toml:1: currency = 'Euro': does not fit; allowed: three capital letters",
    ),
    "a stage twice": (
        BASE.replace('"offer"', '"new"'),
        "policy.toml:6: pipelines.default = ['new', 'new']: 'new' is there twice; allowed: each stage once",
    ),
    "a stage with a reserved name": (
        BASE.replace('"offer"', '"_none"'),
        "policy.toml:6: pipelines.default = ['new', '_none']: '_none' stands for the time before the first stage",
    ),
    "a pipeline without stages": (
        BASE.replace('["new", "offer"]', "[]"),
        "policy.toml:6: pipelines.default = []: Expected array of length >= 1; allowed: a list of stages",
    ),
    "an interval in words": (
        BASE + OFFICE.replace('"09:00-14:00"', '"nine to two"'),
        "policy.toml:12: calendars.office.hours.fri = ['nine to two']: 'nine to two' is no interval; allowed: 24-hour",
    ),
    "an interval past midnight": (
        BASE + OFFICE.replace("09:00-14:00", "22:00-06:00"),
        "policy.toml:12: calendars.office.hours.fri = ['22:00-06:00']: '22:00-06:00' does not end after it begins",
    ),
    "an interval past 24:00": (
        BASE + OFFICE.replace("09:00-14:00", "22:00-24:30"),
        "policy.toml:12: calendars.office.hours.fri = ['22:00-24:30']: '22:00-24:30' does not end after it begins",
    ),
    "intervals that overlap": (
        BASE + OFFICE.replace("13:00", "11:59"),
        "policy.toml:11: calendars.office.hours.mon-thu = ['09:00-12:00', '11:59-17:30']: '11:59-17:30' begins before",
    ),
    "a weekday that is none": (
        BASE + OFFICE.replace("fri =", "friday ="),
        "policy.toml:12: calendars.office.hours.friday = ['09:00-14:00']: 'friday' is no weekday; allowed: mon, tue,",
    ),
    "a range of weekdays that runs backwards": (
        BASE + OFFICE.replace("mon-thu", "thu-mon"),
        "policy.toml:11: calendars.office.hours.thu-mon = ['09:00-12:00', '13:00-17:30']: 'thu-mon' ends before it",
    ),
    "a weekday twice": (
        BASE + OFFICE.replace("mon-thu", "mon-fri"),
        "policy.toml:12: calendars.office.hours.fri = ['09:00-14:00']: names a weekday that another line names too",
    ),
    "a date that is none": (
        BASE + OFFICE.replace("2026-12-24", "2026-02-30"),
        "policy.toml:14: calendars.office.exceptions.2026-02-30 = ['09:00-12:00']: '2026-02-30' is no date: day",
    ),
    "a date in words": (
        BASE + OFFICE.replace("2026-12-24", "christmas"),
        "policy.toml:14: calendars.office.exceptions.christmas = ['09:00-12:00']: 'christmas' is no date; allowed: a",
    ),
    "a country in words": (
        BASE + OFFICE.replace("DE-BE", "Germany"),
        "policy.toml:9: calendars.office.holidays = ['Germany']: 'Germany' is no country; allowed: two capital letters",
    ),
    "a country that is none": (
        BASE + OFFICE.replace("DE-BE", "XX"),
        "policy.toml:9: calendars.office.holidays = ['XX']: 'XX' is not known: allowed: two capital letters of",
    ),
    "a part that the country does not have": (
        BASE + OFFICE.replace("DE-BE", "DE-NY"),
        "policy.toml:9: calendars.office.holidays = ['DE-NY']: 'DE-NY' is not known: allowed: DE, or with one of BB",
    ),
    "no working hours at all": (
        BASE + "[calendars.c]\ntime_zone = 'UTC'\nhours = {}",
        "policy.toml:7: calendars.c: the week has no working hours at all; allowed: a calendar with working time in",
    ),
    "a calendar that nobody made": (
        "calendar = 'ofice'\n" + BASE + OFFICE,
        "policy.toml:1: calendar = 'ofice': 'ofice' is not known (did you mean office?); allowed: office",
    ),
    "a team's calendar that nobody made": (
        BASE + "[teams.a]\ncalendar = 'office'",
        "policy.toml:8: teams.a.calendar = 'office': 'office' is not known; allowed: none",
    ),
    "working time without a calendar": (
        BASE.replace("3600", "3600\nclock = 'business'"),
        "policy.toml:4: levels[0].clock = 'business': level '1h' counts working time, but not every team has",
    ),
    "working time for a team without a calendar": (
        BASE.replace("3600", "3600\nclock = 'business'\nteams = ['a', 'b']") + OFFICE + "[teams.a]\ncalendar='office'",
        "policy.toml:4: levels[0].clock = 'business': level '1h' counts working time, but not every team has",
    ),
    "a version without its instant": (
        BASE + "[[versions]]\nat_risk_share = 0.1",
        "policy.toml:7: versions[0].effective_from: is missing; allowed: an instant like 2026-11-23T09:00:00Z",
    ),
    "an instant without its offset": (
        BASE + "[[versions]]\neffective_from = 2027-01-01T00:00:00",
        "policy.toml:8: versions[0].effective_from = 2027-01-01T00:00:00: Expected datetime with a timezone component",
    ),
    "versions out of order": (
        BASE
        + "[[versions]]\neffective_from = 2027-01-01T00:00:00Z\n[[versions]]\neffective_from = 2027-01-01T00:00:00Z",
        "policy.toml:10: versions[1].effective_from = 2027-01-01T00:00:00+00:00: is not after the version before",
    ),
    "a mistake in a later version": (
        BASE + "[[versions]]\neffective_from = 2027-01-01T00:00:00Z\n[[versions.levels]]\nname = 'x'\nseconds = 1.5",
        "policy.toml:11: versions[0].levels[0].seconds = 1.5: Expected int, got float",
    ),
    "a version that moves a zone": (
        BASE + "[teams.a]\n[[versions]]\neffective_from = 2027-01-01T00:00:00Z\nteams.a.time_zone = 'UTC'",
        "policy.toml:10: versions[0].teams.a.time_zone = 'UTC': 'time_zone' is not known; allowed: calendar",
    ),
    "no TOML": (BASE + "[[levels", "policy.toml: is no TOML: "),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_reported_with_its_line_value_and_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_policy(text, "policy.toml")
    message_found = str(raised.value)
    assert message_found.startswith(message)
    assert "\n" not in message_found


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "policy.toml"
    with pytest.raises(ConfigError, match=re.escape(str(missing)) + ".*cannot be read"):
        load_policy(missing)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    binary = tmp_path / "policy.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_policy(binary)


SHIPPED = re.sub(
    r"^# (?=\[|[a-z0-9_-]+ = )", "", (HERE / "policy.toml").read_text(encoding="utf-8"), flags=re.MULTILINE
)
ODD = (
    "-1",
    "0",
    "1e400",
    "nan",
    "9223372036854775808",
    '""',
    '"\\u0000"',
    '"x"',
    "true",
    "[]",
    "{}",
    "[[1]]",
    "[{}]",
    "2026-01-01",
)


@pytest.mark.parametrize("value", ODD)
def test_no_odd_value_of_any_key_is_more_than_one_line_of_error(value: str) -> None:
    lines = SHIPPED.splitlines()
    keys = [n for n, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    texts = ("\n".join([*lines[:n], f"{lines[n].split(' = ')[0]} = {value}", *lines[n + 1 :]]) for n in keys)
    refused = [message for message in map(mistake, texts) if message is not None]
    assert len(refused) > len(keys) / 2
    assert [error for error in refused if not re.fullmatch(r"policy\.toml:\d+: .+; allowed: .+", error)] == []


def mistake(text: str) -> str | None:
    """The error about a policy, if it is wrong."""
    try:
        parse_policy(text, "policy.toml")
    except ConfigError as error:
        return str(error)
    return None
