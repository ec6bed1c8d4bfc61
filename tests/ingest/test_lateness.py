"""Senders are warned of events that workers would refuse for their instant, and the advised settings let them in."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count

import msgspec
import pytest

from config.clock import Clock, wall_us
from config.settings import ClockSettings, RetentionSettings, Settings
from config.values import MAX_DAYS
from processors.core.time.instants import SECOND_US, instant_us, moment
from processors.ingest.lateness import Lateness
from schemas.events import ActivityLogged, Event, OpportunityCreated

NOW = datetime(2026, 11, 27, 10, 0, 0, tzinfo=UTC)
END_2017 = datetime(2017, 12, 31, tzinfo=UTC)
NUMBERS = count()


def fixed(at: datetime, **retention: int) -> Settings:
    return Settings(clock=ClockSettings(mode="fixed", at=at), retention=RetentionSettings(**retention))


def call(at: datetime) -> Event:
    return ActivityLogged(
        event_id=f"call {next(NUMBERS)}", occurred_at=at, customer_id="C-1", rep_id="Ada", kind="call"
    )


def deal(at: datetime) -> Event:
    number = next(NUMBERS)
    return OpportunityCreated(
        event_id=f"deal {number}", occurred_at=at, customer_id="C-1", opportunity_id=f"O-{number}", rep_id="Ada"
    )


def warnings(settings: Settings, events: Iterable[Event], *, live: bool = False) -> list[str]:
    lateness = Lateness(settings, live=live)
    list(lateness.watch((instant_us(event.occurred_at), event) for event in events))
    return list(lateness.warnings())


def advised(settings: Settings, warning: str) -> list[Settings]:
    """The settings that a warning proposes, one for each of its ways out."""
    ways = []
    for way in re.split(r", or (?=clock|retention)|, or set ", warning.partition(" as ")[2]):
        at, days = re.search(r"clock\.at = (\S+)", way), re.search(r"roots_days = (\d+)", way)
        proposed = settings
        if at is not None:
            clock = ClockSettings(mode="fixed", at=datetime.fromisoformat(at[1]))
            proposed = msgspec.structs.replace(proposed, clock=clock)
        if days is not None:
            kept = msgspec.convert({"windows_days": int(days[1]), "roots_days": int(days[1])}, RetentionSettings)
            proposed = msgspec.structs.replace(proposed, retention=kept)
        if proposed != settings:
            ways.append(proposed)
    return ways


HISTORIES = {
    "a year long past": (Settings(), [deal(END_2017 - timedelta(300)), call(END_2017)], 2),
    "more than a year long past": (Settings(), [deal(END_2017 - timedelta(433)), call(END_2017)], 2),
    "more than a year, at its end": (fixed(END_2017), [deal(END_2017 - timedelta(433)), call(END_2017)], 1),
    "deals of 380 days and a call of 371": (
        fixed(NOW),
        [deal(NOW - timedelta(380)), call(NOW - timedelta(371)), call(NOW)],
        1,
    ),
    "a call too old beside deals that are kept longer": (
        fixed(NOW, roots_days=900),
        [deal(NOW - timedelta(800)), call(NOW - timedelta(500)), call(NOW)],
        1,
    ),
    "a life ago": (Settings(), [call(datetime(1926, 11, 23, tzinfo=UTC)), call(datetime(1926, 12, 1, tzinfo=UTC))], 1),
    "a life ago until now": (fixed(NOW), [call(NOW - timedelta(MAX_DAYS - 2)), call(NOW)], 1),
}


@pytest.mark.parametrize("case", HISTORIES)
def test_each_way_out_that_is_proposed_has_all_of_a_history_taken(case: str) -> None:
    settings, events, ways = HISTORIES[case]
    [warning] = warnings(settings, events)
    proposed = advised(settings, warning)
    assert len(proposed) == ways, warning
    assert [warnings(each, events) for each in proposed] == [[]] * ways


def test_a_history_of_more_than_a_year_long_past_needs_its_clock_and_a_longer_retention() -> None:
    [warning] = warnings(fixed(NOW), [deal(END_2017 - timedelta(433)), call(END_2017)])
    assert warning == (
        "2 events are older than workers keep any by this clock (2026-11-27T10:00:00Z), who refuse them as too_late: "
        "set clock.mode = fixed and clock.at = 2017-12-31T00:00:00Z for everything that runs, "
        "together with retention.windows_days and retention.roots_days = 435, "
        "or retention.windows_days and retention.roots_days = 3688"
    )


def test_what_no_settings_keep_is_to_be_left_out() -> None:
    events = [call(datetime(1900, 1, 1, tzinfo=UTC)), call(NOW - timedelta(MAX_DAYS)), call(NOW)]
    [warning] = warnings(fixed(NOW), events)
    assert warning.endswith(
        "set retention.windows_days and retention.roots_days = 36500 (the most), "
        "and leave out what is older than 1926-12-22T10:00:00Z"
    )
    [proposed] = advised(fixed(NOW), warning)
    assert warnings(proposed, events[1:]) == []


def test_what_is_more_than_five_minutes_ahead_of_the_clock_is_told_with_a_clock_that_takes_it() -> None:
    events = [call(NOW + timedelta(minutes=5)), call(NOW + timedelta(minutes=6)), deal(NOW + timedelta(3))]
    [warning] = warnings(fixed(NOW), events)
    assert warning == (
        "2 events are more than 5 minutes ahead of this clock (2026-11-27T10:00:00Z), and workers refuse them as "
        "clock_skew: send them again when their time has come, or set clock.mode = fixed and "
        "clock.at = 2026-11-30T10:00:00Z for everything that runs"
    )
    [proposed] = advised(fixed(NOW), warning)
    assert warnings(proposed, events) == []


def test_events_that_are_too_old_and_events_that_are_too_new_are_told_apart() -> None:
    settings, events = fixed(NOW), [call(NOW - timedelta(371)), call(NOW + timedelta(30))]
    late, ahead = warnings(settings, events)
    assert late.startswith("1 events are older")
    [proposed] = advised(settings, ahead)
    assert warnings(proposed, events) == []


def test_live_events_leave_when_their_time_has_come_and_are_never_ahead() -> None:
    assert warnings(fixed(NOW), [call(NOW + timedelta(1))], live=True) == []


def test_a_clock_that_goes_on_while_a_slow_sender_sends_is_asked_again() -> None:
    clock = ClockSettings(mode="scaled", at=NOW, wall_origin=moment(wall_us()), speed=1_000_000.0)
    lateness = Lateness(Settings(clock=clock))
    event = call(NOW + timedelta(1))
    watched = lateness.watch([(instant_us(event.occurred_at), event)])
    while Clock(clock).now_us() < instant_us(event.occurred_at) - 60 * SECOND_US:
        pass
    assert len(list(watched)) == 1
    assert list(lateness.warnings()) == []


def test_no_way_out_that_is_proposed_keeps_less_than_is_kept_now() -> None:
    settings = fixed(NOW, windows_days=1000, roots_days=1000)
    (warning,) = warnings(settings, [deal(NOW - timedelta(days=1100))])
    (days,) = re.findall(r"retention\.windows_days and retention\.roots_days = (\d+)", warning)
    assert int(days) >= 1100


def test_a_long_window_is_never_cut_for_the_sake_of_roots() -> None:
    settings = Settings(clock=ClockSettings(mode="fixed", at=NOW), retention=RetentionSettings(windows_days=1000))
    (warning,) = warnings(settings, [deal(NOW - timedelta(days=450))])
    (days,) = re.findall(r"retention\.windows_days and retention\.roots_days = (\d+)", warning)
    assert int(days) >= 1000
