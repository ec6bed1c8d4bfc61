"""The ledger that lives with its stream ends where a fresh one begins that learns everything at once (S27, S17).

The fast way: facts one by one, some twice, time moving between them, reps changing, changes published now and then. The
slow way: a new ledger, the same set of facts in another order, time moved once, everything published.
"""

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from processors.core.ledger.ledger import Ledger
from processors.core.state.directory import Directory, directory_of
from schemas import events as ev
from schemas.alerts import Transition
from schemas.codec import decode_message, encode
from schemas.errors import BadRecord
from schemas.events import Event, RepUpdated
from schemas.policy import CalendarSpec, Level, Policy, TeamPolicy
from schemas.views import Changes
from tests.strategies import EPOCH, OFFSETS_US, POLICY, REQUESTS, Stream, streams

LONG = os.environ.get("SALESPULSE_LONG") == "1"

EVER_US = 10**18
PARTICULAR = Policy(
    levels=(
        Level(name="5m", seconds=300, priorities=("urgent",)),
        Level(name="30m", seconds=1800, channels=("chat",)),
        Level(name="1h", seconds=3600, teams=("north",)),
        Level(name="2h", seconds=7200, clock="business"),
    ),
    pipelines={"partner": POLICY.pipelines["partner"]},
    calendars={"day": CalendarSpec(week=(((9 * 60, 17 * 60),),) * 7)},
    teams={"south": TeamPolicy(calendar="day", time_zone="Asia/Kathmandu")},
)
"""Every deadline depends on who, where and what; and no pipeline is called `default`."""
MOMENTS_US = (*OFFSETS_US, *(seconds * 900_000 for seconds in (300, 1800, 3600, 3600, 7200)))
"""Instants after a fact; the last ones lie between the warning and the deadline of a level."""

View = dict[tuple[str, str], Any]
"""(section, field) to value."""


class LiveLedger(RuleBasedStateMachine):
    """One partition's life. Whatever it went through, its published view is that of its set of facts."""

    def __init__(self) -> None:
        super().__init__()
        self.policy = POLICY
        self.directory: Directory = directory_of(POLICY)
        self.ledger = self._new(self.directory)
        self.moving: list[str] = []
        """Reps whose new entries the ledger was not told of."""
        self.lines: list[bytes] = []
        self.arrived = 0
        self.now_us: int | None = None
        self.view: View = {}
        self.alerts: dict[str, Transition] = {}

    @initialize(
        stream=streams() | streams(facts=REQUESTS, most_anchors=1), policy=st.sampled_from((POLICY, PARTICULAR))
    )
    def begin(self, stream: Stream, policy: Policy = POLICY) -> None:
        self.policy = policy
        self.directory = directory_of(policy)
        self.ledger = self._new(self.directory)
        self.lines = [encode(message) for message in stream.messages]

    @precondition(lambda self: self.arrived < len(self.lines))
    @rule(count=st.integers(1, 8), offset_us=st.none() | st.sampled_from(MOMENTS_US))
    def arrive(self, count: int, offset_us: int | None = None) -> None:
        """Some of the stream, and time moves on after it, or not."""
        for line in self.lines[self.arrived : self.arrived + count]:
            self.moving += take(self.ledger, self.directory, line)
        self.arrived = min(self.arrived + count, len(self.lines))
        if offset_us is not None:
            self.time_passes(place=self.arrived - 1, offset_us=offset_us)

    @precondition(lambda self: self.arrived > 0)
    @rule(place=st.integers(0, 50))
    def arrive_again(self, place: int) -> None:
        line = self.lines[place % self.arrived]
        if not isinstance(decode_message(line), RepUpdated):
            take(self.ledger, self.directory, line)

    @precondition(lambda self: self.arrived > 0)
    @rule(place=st.integers(0, 50), offset_us=st.sampled_from(MOMENTS_US))
    def time_passes(self, place: int, offset_us: int) -> None:
        """To some instant at or after one of the facts."""
        message = decode_message(self.lines[place % self.arrived])
        at_us = ((message.occurred_at or EPOCH) - EPOCH) // timedelta(microseconds=1) + offset_us
        self.now_us = at_us if self.now_us is None else max(self.now_us, at_us)
        self.ledger.advance(self.now_us)

    @precondition(lambda self: self.moving)
    @rule(most=st.integers(1, 3))
    def reps_move(self, most: int) -> None:
        """Some of the reps with new entries go where these have them."""
        some, self.moving = self.moving[:most], self.moving[most:]
        self.ledger.reps_changed(some)

    @rule()
    def publish(self) -> None:
        """What was published, and said, is that of a ledger which knew all of it from the beginning."""
        self.ledger.reps_changed(self.moving)
        self.moving.clear()
        apply_changes(self.view, self.ledger.drain_changes())
        self._hear()
        fresh = self._fresh()
        everything: View = {}
        apply_changes(everything, fresh.everything())
        assert self.view == everything
        assert active(self.alerts.values()) == active({t.alert_id: t for t in fresh.drain_transitions()}.values())

    @rule()
    def restart(self) -> None:
        """The worker is another one, which has the facts and knows how far time had moved."""
        self.ledger.reps_changed(self.moving)
        self.moving.clear()
        self._hear()
        former, self.ledger = self.ledger, self._new(self.directory)
        for fact in former.facts.values():
            take(self.ledger, self.directory, encode(fact))
        self.ledger.resume(former.advanced_us, former.quality, former.reps_fingerprint)
        self.view.clear()
        self.ledger.mark_everything()

    def _hear(self) -> None:
        """Of each alert the last word counts, and that is the one with the highest revision."""
        for transition in self.ledger.drain_transitions():
            known = self.alerts.get(transition.alert_id)
            assert known is None or transition.revision > known.revision
            self.alerts[transition.alert_id] = transition

    def teardown(self) -> None:
        """The rest arrives message by message, each an hour and a half before the next is read."""
        self.publish()
        while self.arrived < len(self.lines):
            self.arrive(1, offset_us=5_400_000_000)
        self.publish()

    def _new(self, directory: Directory) -> Ledger:
        """To this one, nothing is history."""
        return Ledger(self.policy, directory, alerts_max_age_us=EVER_US)

    def _fresh(self) -> Ledger:
        """A ledger that learns of the reps first, then of the facts from the last to the first, then of the time."""
        directory = directory_of(self.policy)
        for rep in self.directory:
            directory.put(rep)
        ledger = self._new(directory)
        for line in reversed(self.lines[: self.arrived]):
            if not isinstance(decode_message(line), RepUpdated):
                take(ledger, directory, line)
        if self.now_us is not None:
            ledger.advance(self.now_us)
        return ledger


def take(ledger: Ledger, directory: Directory, line: bytes) -> list[str]:
    """What a worker does with a message; what is bad by itself changes nothing. Gives the reps who are to move."""
    message: Event | RepUpdated = decode_message(line)
    if isinstance(message, RepUpdated):
        return [message.rep_id] if directory.put(message) else []
    before = dict(ledger.facts)
    try:
        ledger.apply(message)
    except BadRecord:
        assert ledger.facts == before
    return []


def apply_changes(view: View, changes: Changes) -> None:
    """Changes of the read model, taken in."""
    for section, fields in changes.deletes.items():
        for field in fields:
            view.pop((section, field), None)
    for section, puts in changes.puts.items():
        for field, value in puts.items():
            view[section, field] = msgspec.msgpack.decode(value)


def active(last_words: Iterable[Transition]) -> set[tuple[str, str, str, int]]:
    """The alerts that warn or fire now, with the rep who is told and the due instant."""
    return {
        (last.alert_id, last.state, last.rep_id, last.due_us)
        for last in last_words
        if last.state in ("at_risk", "fired")
    }


OPENED_AT = EPOCH + timedelta(days=20_000)
REQUEST: dict[str, Any] = {"customer_id": "c1", "request_id": "q1", "occurred_at": OPENED_AT}


def overdue(*later: Event) -> LiveLedger:
    """A message 5 minutes and a microsecond ago, breached and published; then something about it arrives late."""
    life = LiveLedger()
    life.begin(Stream((ev.RequestOpened(event_id="a", channel="email", **REQUEST), *later), None))
    life.arrive(1)
    life.time_passes(place=0, offset_us=300_000_001)
    life.publish()
    assert life.alerts["c1/q1/1/5m"].state == "fired"
    life.arrive(len(later))
    life.publish()
    return life


def test_s08_an_owner_named_late_takes_over_the_breach_that_was_already_counted() -> None:
    life = overdue(ev.RequestAssigned(event_id="b", rep_id="r1", **REQUEST))
    assert life.view["partials", "rep|r1|20000"]["breaches"] == {"5m": 1}


def test_s17_a_message_that_never_was_takes_its_alert_back() -> None:
    common: dict[str, Any] = {"customer_id": "c1", "occurred_at": OPENED_AT}
    life = overdue(ev.EventRetracted(event_id="b", retracts="a", entity="request", entity_id="q1", **common))
    assert life.alerts["c1/q1/1/5m"].state == "retracted"
    assert life.view == {}


def test_s17_an_answer_that_came_late_but_in_time_takes_the_breach_back() -> None:
    life = overdue(ev.RequestAnswered(event_id="b", rep_id="r1", **REQUEST))
    assert life.alerts["c1/q1/1/5m"].state == "retracted"
    assert "breaches" not in life.view["partials", "rep|r1|20000"]


LiveLedger.TestCase.settings = settings(max_examples=5_000 if LONG else 500, stateful_step_count=15, deadline=None)
TestLiveLedger = pytest.mark.timeout(5400 if LONG else 600)(LiveLedger.TestCase)
