"""Backtests: the same history under one policy, and under two side by side."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from processors.core.reports.backtest import Backtest, BacktestReport, PolicyDifference
from processors.core.time.instants import instant_us
from schemas.errors import BadRecord, Reason
from schemas.events import Message, RepUpdated
from schemas.policy import ALWAYS_US, DEFAULT_POLICY, CalendarSpec, Level, Policy, PolicyVersion, TeamPolicy
from tests.story import DAY, HOUR, answered, assigned, at, closed, opened

NIGHT: tuple[tuple[int, int], ...] = ()
OFFICE = CalendarSpec(week=(((480, 1020),),) * 5 + (NIGHT, NIGHT))
"""08:00 to 17:00 UTC from Monday to Friday."""


def policy(*levels: Level, **more: object) -> Policy:
    """The default policy with other levels."""
    return msgspec.structs.replace(DEFAULT_POLICY, levels=levels or DEFAULT_POLICY.levels, **more)


def report(messages: list[Message], new: Policy, old: Policy | None = None) -> BacktestReport:
    """A backtest a week after the story begins."""
    run = Backtest(new, old, instant_us(at(7 * DAY)))
    for message in messages:
        run.add(message)
    return run.report("new", "old")


def test_every_passed_deadline_is_an_alert_of_the_owner_at_that_instant() -> None:
    story: list[Message] = [
        opened(0, "in-time", rep_id="alice"),
        answered(60, "alice", "in-time"),
        opened(0, "late", rep_id="alice", customer="c2"),
        assigned(90, "bob", "late", customer="c2"),
        answered(2 * DAY, "bob", "late", customer="c2"),
        opened(0, "open", customer="c3"),
    ]
    side = report(story, DEFAULT_POLICY).new
    assert (side.total.alerts, side.total.breaches) == (4, 4)
    assert {name: rep.levels for name, rep in side.reps.items()} == {
        "_unassigned": {"1h": 1, "24h": 1},
        "alice": {"1h": 1},
        "bob": {"24h": 1},
    }
    for level in side.levels.values():
        assert (level.turns, level.alerts) == (3, 2)
        assert level.missed == pytest.approx(2 / 3)
    assert list(side.levels) == ["1h", "24h"]


def test_withdrawn_requests_and_spam_call_somebody_and_are_no_breach() -> None:
    story: list[Message] = [
        opened(0, "w"),
        closed(90, "withdrawn", "w"),
        opened(0, "s", customer="c2"),
        closed(90, "spam", "s", customer="c2"),
        opened(0, "r", customer="c3"),
        closed(90, "resolved", "r", customer="c3"),
    ]
    side = report(story, DEFAULT_POLICY).new
    assert (side.total.alerts, side.total.breaches) == (3, 1)
    assert (side.levels["1h"].turns, side.levels["1h"].missed) == (1, 1.0)


def test_hours_of_the_week_are_those_of_the_reps_clock() -> None:
    tokyo = RepUpdated(rep_id="aki", name="Aki", time_zone="Asia/Tokyo")
    story: list[Message] = [
        tokyo,
        opened(0, rep_id="aki"),  # Monday 08:00 UTC: due at 09:00, in Tokyo at 18:00
        opened(6 * DAY + 10 * HOUR, "r2", customer="c2", rep_id="bob"),  # Sunday 18:00: due at 19:00
    ]
    hours = report(story, DEFAULT_POLICY).new.hours
    assert [hour for hour, count in enumerate(hours["1h"]) if count] == [18, 6 * 24 + 19]
    assert [hour for hour, count in enumerate(hours["24h"]) if count] == [24 + 17]


def test_a_level_that_is_tightened_adds_breaches_and_moves_the_others() -> None:
    story: list[Message] = [
        message
        for n, wait in enumerate((10, 40, 70, 80))
        for message in (opened(0, f"r{n}", customer=f"c{n}"), answered(wait, "alice", f"r{n}", customer=f"c{n}"))
    ]
    half = policy(Level(name="1h", seconds=1800))
    compared = report(story, half, policy(Level(name="1h", seconds=3600))).comparison
    assert compared is not None
    assert compared.total == PolicyDifference(
        alerts_added=1,
        alerts_removed=0,
        alerts_moved=2,
        breaches_before=2,
        breaches_after=3,
        breaches_added=1,
        breaches_removed=0,
        added_share=0.5,
        removed_share=0.0,
    )
    assert compared.levels == {"1h": compared.total}
    assert sum(compared.hours) == 1
    assert (compared.hours[8], compared.hours[9]) == (3, -2)


def test_a_calendar_removes_the_breaches_of_the_night_and_the_weekend() -> None:
    night, weekend = 12 * HOUR, 5 * DAY
    story: list[Message] = [
        opened(0, "day"),
        answered(2 * HOUR, "alice", "day"),
        opened(night, "night", customer="c2"),
        answered(night + 12.5 * HOUR, "alice", "night", customer="c2"),
        opened(weekend, "weekend", customer="c3"),
    ]
    hour = Level(name="1h", seconds=3600, clock="business")
    old = policy(hour)
    new = policy(hour, calendars={"office": OFFICE}, calendar="office")
    compared = report(story, new, old).comparison
    assert compared is not None
    assert (compared.total.breaches_before, compared.total.breaches_removed) == (3, 2)
    assert compared.total.removed_share == pytest.approx(2 / 3)
    assert compared.causes is not None
    assert compared.causes["calendars"] == compared.total
    assert compared.causes["levels"].breaches_added == compared.causes["levels"].breaches_removed == 0


def test_causes_are_told_apart_and_add_up() -> None:
    story: list[Message] = [opened(hour * HOUR, f"r{hour}", customer=f"c{hour}") for hour in range(0, 5 * 24, 3)]
    story += [answered(hour * HOUR + 100, "alice", f"r{hour}", customer=f"c{hour}") for hour in range(0, 5 * 24, 3)]
    old = policy(Level(name="1h", seconds=3600, clock="business"))
    new = policy(
        Level(name="1h", seconds=7200, clock="business"),
        Level(name="30m", seconds=1800),
        calendars={"office": OFFICE},
        calendar="office",
    )
    compared = report(story, new, old).comparison
    assert compared is not None
    assert compared.causes is not None
    calendars, levels = compared.causes["calendars"], compared.causes["levels"]
    assert calendars.breaches_before == compared.total.breaches_before
    assert calendars.breaches_after == levels.breaches_before
    assert levels.breaches_after == compared.total.breaches_after
    assert calendars.breaches_removed > 0
    assert calendars.breaches_added == 0
    assert levels.breaches_added == len(range(0, 5 * 24, 3))


def test_with_versions_causes_are_not_told_apart() -> None:
    version = PolicyVersion(effective_from_us=instant_us(at(DAY)), levels=(Level(name="1h", seconds=60),))
    assert version.effective_from_us > ALWAYS_US
    new = policy(versions=(version,))
    story: list[Message] = [
        opened(0),
        answered(30),
        opened(2 * DAY, "r2"),
        answered(2 * DAY + 30, request="r2"),
    ]
    result = report(story, new, policy())
    assert result.comparison is not None
    assert result.comparison.causes is None
    assert (result.comparison.total.breaches_before, result.comparison.total.breaches_after) == (0, 1)
    assert result.comparison.total.added_share is None


def test_the_same_policy_twice_changes_nothing_whatever_the_order() -> None:
    story: list[Message] = [opened(n, f"r{n}", customer=f"c{n % 7}", rep_id="alice") for n in range(50)]
    story += [answered(n + 61, "bob", f"r{n}", customer=f"c{n % 7}") for n in range(0, 50, 2)]
    forward = report(story, policy(), policy())
    assert forward.comparison is not None
    assert forward.comparison.total.alerts_added == forward.comparison.total.alerts_removed == 0
    assert not any(forward.comparison.hours)
    assert report(story[::-1], policy(), policy()) == forward


def test_the_teams_of_the_new_policy_say_whose_calendar_holds() -> None:
    story: list[Message] = [
        RepUpdated(rep_id="alice", name="Alice", team="east"),
        RepUpdated(rep_id="bob", name="Bob", team="west"),
        opened(12 * HOUR, "r1", rep_id="alice"),
        answered(20 * HOUR, "alice", "r1"),
        opened(12 * HOUR, "r2", customer="c2", rep_id="bob"),
        answered(20 * HOUR, "bob", "r2", customer="c2"),
    ]
    hour = Level(name="1h", seconds=3600, clock="business")
    new = policy(hour, calendars={"office": OFFICE}, teams={"east": TeamPolicy(calendar="office")})
    side = report(story, new).new
    assert {name: rep.team for name, rep in side.reps.items()} == {"bob": "west"}


def test_without_an_instant_time_ends_with_the_newest_event() -> None:
    run = Backtest(DEFAULT_POLICY)
    run.add(opened(0))
    run.add(opened(59, "r2", customer="c2"))
    assert run.report("new").new.total.alerts == 0
    run = Backtest(DEFAULT_POLICY)
    run.add(opened(0))
    run.add(opened(61, "r2", customer="c2"))
    result = run.report("new")
    assert result.new.total.alerts == 1
    assert datetime.fromisoformat(result.as_of) == datetime(2026, 3, 2, 8, tzinfo=UTC) + timedelta(minutes=61)


def test_bad_lines_are_counted_once() -> None:
    run = Backtest(DEFAULT_POLICY, DEFAULT_POLICY)
    run.count_bad(BadRecord(Reason.MALFORMED, "x"))
    run.add(opened(0))
    assert run.report("new", "old").events["malformed"] == 1
    assert run.report("new", "old").events["read"] == 2
