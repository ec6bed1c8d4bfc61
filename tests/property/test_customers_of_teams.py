"""S11: the customers of a team are those of exactly the answers in its sum, at every hour, wherever its reps are.

Zones from UTC-12 to UTC+14 in two teams, customers whom several reps answer. The oracle says who is in which window by
the rule alone; the board's sums, kept up to date from what a ledger publishes hour by hour, are those of a replay.
"""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from processors.board.state.store import Store
from processors.board.state.team_sums import TeamSums, WindowTotals
from processors.core.ledger.ledger import Ledger
from processors.core.reports.measures import numbers_of
from processors.core.reports.replay import replay
from processors.core.state.directory import Directory, directory_of
from processors.core.time.windows import WINDOWS
from schemas import events as ev
from schemas.codec import encode
from schemas.events import Event, Message, RepUpdated
from schemas.policy import DEFAULT_POLICY
from schemas.views import Changes
from tests.oracle import oracle
from tests.oracle.compare import differences

LONG = os.environ.get("SALESPULSE_LONG") == "1"
STORIES = 1_000 if LONG else 40
LIVES = 2_000 if LONG else 60
STORIES_AT_ONCE = 20
"""A question to the oracle costs about as much for one stream as for hundreds."""
HOURS = 30
"""A day, and over the date line."""
ZONES = (
    *("Etc/GMT+12", "Pacific/Pago_Pago", "Pacific/Honolulu", "America/Los_Angeles", "America/Phoenix", None),
    *("Europe/London", "Asia/Kathmandu", "Asia/Tokyo", "Australia/Lord_Howe", "Australia/Sydney"),
    *("Pacific/Chatham", "Pacific/Auckland", "Pacific/Kiritimati"),
)
"""From UTC-12 to UTC+14, some a day apart but for a quarter of an hour, and with summers at either time of the year."""
STARTS = tuple(
    datetime.fromisoformat(text).replace(tzinfo=UTC)
    for text in ("2024-03-30T20:00", "2024-04-06T00:00", "2024-09-28T06:00", "2024-11-02T22:00", "2024-12-31T09:00")
)
"""Shortly before clocks change somewhere, and before a new year."""
BACK_DAYS = (0, 0, 0, 1, 1, 2, 6, 7, 8, 29, 30, 31, 89, 90, 364, 365, 366)
"""About the lengths of the windows."""


@dataclass(frozen=True)
class Meeting:
    """A customer is answered by a rep, or won for a second contact, so many minutes after the start."""

    customer: str
    rep: str
    minutes: int
    wait_minutes: int
    is_answer: bool


@dataclass(frozen=True)
class Story:
    """Reps, their meetings, and reps who move within the hours that are looked at."""

    start: datetime
    minute: int
    reps: tuple[RepUpdated, ...]
    meetings: tuple[Meeting, ...]
    moves: tuple[tuple[int, RepUpdated], ...] = ()
    """After so many hours."""

    def instants(self) -> Iterator[datetime]:
        """One in every hour."""
        for hour in range(HOURS):
            yield self.start + timedelta(hours=hour, minutes=self.minute)

    def facts(self) -> list[Event]:
        """All facts in the order of their instants."""
        found = [fact for number, meeting in enumerate(self.meetings) for fact in self._facts(number, meeting)]
        return sorted(found, key=lambda fact: fact.occurred_at)

    def _facts(self, number: int, meeting: Meeting) -> Iterator[Event]:
        at = self.start + timedelta(minutes=meeting.minutes)
        common: dict[str, Any] = {"customer_id": meeting.customer, "rep_id": meeting.rep}
        if not meeting.is_answer:
            yield ev.ActivityLogged(event_id=f"a{number}", occurred_at=at, kind="call", recontactable=True, **common)
            return
        opened_at, request_id = at - timedelta(minutes=meeting.wait_minutes), f"q{number}"
        yield ev.RequestOpened(
            event_id=f"o{number}", occurred_at=opened_at, request_id=request_id, channel="email", **common
        )
        yield ev.RequestAnswered(event_id=f"r{number}", occurred_at=at, request_id=request_id, **common)


def _minutes(days: int, minutes: int) -> int:
    return minutes - 1440 * days


_rep_ids = st.sampled_from(("r1", "r2", "r3", "r4", "r5"))
_entries = st.builds(
    RepUpdated,
    rep_id=_rep_ids,
    name=st.just("Someone"),
    team=st.sampled_from(("north", "north", "south")),
    time_zone=st.sampled_from(ZONES),
)
_meetings = st.builds(
    Meeting,
    customer=st.sampled_from(("c1", "c1", "c2", "c3")),
    rep=_rep_ids,
    minutes=st.builds(_minutes, st.sampled_from(BACK_DAYS), st.integers(0, 60 * HOURS)),
    wait_minutes=st.integers(1, 50),
    is_answer=st.sampled_from((True, True, False)),
)


def stories(moves: st.SearchStrategy[list[tuple[int, RepUpdated]]]) -> st.SearchStrategy[Story]:
    """Some meetings of some reps, most of whom are in the directory."""
    return st.builds(
        Story,
        start=st.sampled_from(STARTS),
        minute=st.sampled_from((0, 0, 15, 59)),
        reps=st.lists(_entries, min_size=3, max_size=6, unique_by=lambda entry: entry.rep_id).map(tuple),
        meetings=st.lists(_meetings, min_size=1, max_size=12).map(tuple),
        moves=moves.map(tuple),
    )


def microseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def generated(count: int) -> list[Story]:
    """About so many stories without moves."""
    found: list[Story] = []

    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(stories(st.just([])))
    def keep(story: Story) -> None:
        found.append(story)

    keep()
    return found


def is_possible(numbers: Mapping[str, Any]) -> bool:
    """Never more customers than answers, and the one never without the other."""
    responses, customers = numbers["responses"], numbers["customers_answered"]
    per_customer = numbers["response_seconds_per_customer"]
    if not responses:
        return bool(customers == 0 and per_customer is None)
    return bool(0 < customers <= responses and per_customer == numbers["response_seconds_sum"] / customers)


def subjects(report: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The windows of every rep and team, and of the company."""
    yield from report["reps"].values()
    yield from report["teams"].values()
    yield report["company"]


@pytest.mark.timeout(5400 if LONG else 600)
def test_s11_at_every_hour_the_core_agrees_with_the_rule_about_the_customers_of_teams() -> None:
    examples = generated(STORIES)
    assert len(examples) >= STORIES
    for start in range(0, len(examples), STORIES_AT_ONCE):
        assert_agreed(examples[start : start + STORIES_AT_ONCE])


def assert_agreed(examples: list[Story]) -> None:
    """At every hour of every story, the core's report is the oracle's, and a possible one."""
    streams = list[tuple[list[str], int]]()
    reports = list[dict[str, Any]]()
    for story in examples:
        messages: list[Message] = [*story.reps, *story.facts()]
        lines = [encode(message).decode() for message in messages]
        for at in story.instants():
            streams.append((lines, microseconds(at)))
            reports.append(replay(messages, DEFAULT_POLICY, microseconds(at)))
    for (lines, at_us), report, wanted in zip(streams, reports, oracle.reports(streams), strict=True):
        assert differences(report, wanted) == [], "\n".join([f"as_of_us={at_us}", *lines])
        assert all(is_possible(numbers) for windows in subjects(report) for numbers in windows.values())


class Life:
    """A ledger that learns of facts and moves as time goes by, and a board that follows it."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._directory: Directory = directory_of(DEFAULT_POLICY)
        self._ledger = Ledger(DEFAULT_POLICY, self._directory)
        self._now_us = 0
        self._facts = story.facts()
        self._known: list[Message] = []
        self.store = Store(DEFAULT_POLICY, lambda: self._now_us)
        for rep in story.reps:
            self._introduce(rep)

    def pass_to(self, hour: int, at: datetime) -> None:
        """Everything up to an instant is known and published."""
        self._now_us = microseconds(at)
        for when, rep in self._story.moves:
            if when == hour:
                self._introduce(rep)
        while self._facts and self._facts[0].occurred_at <= at:
            fact = self._facts.pop(0)
            self._known.append(fact)
            self._ledger.apply(fact)
        self._ledger.advance(self._now_us)
        self._publish(self._ledger.drain_changes())

    def replayed(self) -> dict[str, Any]:
        """The report of what is known."""
        return replay(self._known, DEFAULT_POLICY, self._now_us)

    def _introduce(self, rep: RepUpdated) -> None:
        self._known.append(rep)
        self._directory.put(rep)
        self._ledger.reps_changed([rep.rep_id])
        self.store.put_rep(rep.rep_id, msgspec.msgpack.encode(rep))

    def _publish(self, changes: Changes) -> None:
        """The numbers alone: for the board, a rep without any is known too when somebody waits."""
        for field in changes.deletes.get("partials", []):
            self.store.put("crm.events/0", "partials", field, None)
        for field, raw in changes.puts.get("partials", {}).items():
            self.store.put("crm.events/0", "partials", field, raw)


async def shown(store: Store) -> dict[str, Any]:
    """What the board has of teams and of the company, without quantiles: those are estimates there."""
    team_sums = TeamSums(store)
    teams = {team: in_windows(pool) for team, (_, pool) in (await team_sums.teams()).items()}
    return without_quantiles({"teams": teams, "company": in_windows(await team_sums.company())})


def in_windows(pool: WindowTotals) -> dict[str, Any]:
    """The numbers of each window as plain values."""
    levels, pipelines = DEFAULT_POLICY.level_names, DEFAULT_POLICY.pipelines
    numbers = (numbers_of(part, levels, pipelines) for part in pool)
    return {window: msgspec.to_builtins(one) for window, one in zip(WINDOWS, numbers, strict=True)}


def without_quantiles(report: dict[str, Any]) -> dict[str, Any]:
    for windows in (*report["teams"].values(), report["company"]):
        for numbers in windows.values():
            del numbers["response_seconds_p50"], numbers["response_seconds_p90"]
    return report


@pytest.mark.timeout(5400 if LONG else 600)
@settings(max_examples=LIVES, deadline=None)
@given(stories(st.lists(st.tuples(st.integers(0, HOURS - 1), _entries), max_size=3)))
def test_s11_at_every_hour_the_boards_sums_are_those_of_a_replay_whoever_moves(story: Story) -> None:
    life = Life(story)
    for hour, at in enumerate(story.instants()):
        life.pass_to(hour, at)
        replayed = life.replayed()
        wanted = without_quantiles({"teams": replayed["teams"], "company": replayed["company"]})
        assert asyncio.run(shown(life.store)) == wanted
