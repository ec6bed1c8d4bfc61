"""Turns, clocks, response times, levels: the rules S01 to S18 and the cases that real products fail, one by one."""

import pytest

from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.state.directory import directory_of
from processors.core.time.instants import instant_us
from schemas.alerts import Transition
from schemas.errors import BadRecord, Reason
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY, CalendarSpec, Level, Policy, TeamPolicy
from tests.story import (
    DAY,
    HOUR,
    activity,
    answered,
    assigned,
    at,
    closed,
    numbers,
    opened,
    rep,
    report_of,
    retracted,
)

BUSINESS = Policy(
    levels=(Level(name="1h", seconds=3600, clock="business"),),
    pipelines=DEFAULT_POLICY.pipelines,
    calendars={"office": CalendarSpec(week=(((9 * 60, 17 * 60),),) * 5 + ((), ()))},
    teams={"north": TeamPolicy(calendar="office")},
)


def live(*events: Event, now: float, clock: float | None = None) -> tuple[Ledger, list[Transition]]:
    """A ledger after these events at a minute, and what it said about deadlines."""
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), Retention())
    ledger.set_clock(instant_us(at(now if clock is None else clock)))
    for event in events:
        ledger.apply(event)
    ledger.advance(instant_us(at(now)))
    return ledger, ledger.drain_transitions()


def said(transitions: list[Transition]) -> list[tuple[str, str]]:
    return [(transition.level, transition.state) for transition in transitions]


def test_s01_a_turn_opens_with_a_message_and_closes_with_the_first_response() -> None:
    report = report_of(opened(0), answered(10), opened(30), answered(35), answered(50))
    assert numbers(report)["responses"] == 2
    assert numbers(report)["response_seconds_sum"] == 15 * 60
    assert report["open_requests"] == []


def test_s01_a_message_after_a_close_opens_the_next_turn() -> None:
    report = report_of(opened(0), closed(5, "resolved"), opened(30), until=40)
    assert [(request["turn"], request["waiting_seconds"]) for request in report["open_requests"]] == [(2, 600.0)]


def test_s02_later_messages_never_move_the_start() -> None:
    report = report_of(opened(0), opened(20), opened(40), opened(59), answered(70))
    assert numbers(report)["responses"] == 1
    assert numbers(report)["response_seconds_sum"] == 70 * 60
    assert report["reps"]["_unassigned"]["all"]["breaches"] == {"1h": 1, "24h": 0}


@pytest.mark.parametrize("nothing", [answered(1, automated=True), answered(2, internal=True), activity(3)])
def test_s03_only_a_person_whom_the_customer_sees_answers(nothing: Event) -> None:
    report = report_of(opened(0), nothing, answered(180))
    assert numbers(report)["responses"] == 1
    assert numbers(report)["response_seconds_per_turn"] == 3 * 3600


def test_s03_assignment_and_internal_notes_move_no_deadline() -> None:
    report = report_of(opened(0), assigned(10, "bob"), answered(20, internal=True), assigned(61, "carol"), until=90)
    assert report["open_requests"][0]["levels"] == ["1h"]
    assert numbers(report, "bob")["breaches"]["1h"] == 1


def test_s04_an_automated_message_opens_no_turn() -> None:
    report = report_of(opened(0, automated=True), until=200)
    assert report["open_requests"] == []
    assert report["alerts"] == []


def test_s05_an_unlinked_response_answers_what_is_open_on_its_channel() -> None:
    events = (opened(0, "r1"), opened(1, "r2"), opened(2, "r3", channel="chat"))
    report = report_of(*events, answered(10, "alice", None, channel="email"), until=20)
    assert [request["request_id"] for request in report["open_requests"]] == ["r3"]
    assert numbers(report)["responses"] == 2


def test_s05_an_unlinked_response_without_a_channel_answers_all() -> None:
    events = (opened(0, "r1"), opened(2, "r3", channel="chat"), opened(3, "x", customer="c2"))
    report = report_of(*events, answered(10, "alice", None), until=20)
    assert [request["customer_id"] for request in report["open_requests"]] == ["c2"]


def test_s05_an_unlinked_response_that_arrives_early_waits_for_its_request() -> None:
    in_order = report_of(opened(0), answered(10, "alice", None), opened(30), until=40)
    reversed_order = report_of(opened(30), answered(10, "alice", None), opened(0), until=40)
    assert in_order == reversed_order


def test_s06_a_close_without_answer_is_no_response_and_counts_by_reason() -> None:
    report = report_of(opened(0, rep_id="alice"), closed(90, "resolved"), opened(100), answered(101))
    alice = numbers(report)
    assert alice["closed_unanswered"] == {"resolved": 1}
    assert (alice["responses"], alice["response_seconds_sum"], alice["breaches"]["1h"]) == (1, 60.0, 1)


@pytest.mark.parametrize("reason", ["spam", "withdrawn"])
def test_s06_spam_and_withdrawn_take_the_turn_out_of_every_other_count(reason: str) -> None:
    alice = numbers(report_of(opened(0, rep_id="alice"), closed(90, reason), until=3 * DAY))  # type: ignore[arg-type]
    assert alice["breaches"] == {"1h": 0, "24h": 0}
    assert alice["closed_unanswered"] == {reason: 1}


def test_s06_a_close_resolves_the_alerts() -> None:
    ledger, fired = live(opened(0), now=66)
    ledger.apply(closed(70, "resolved"))
    assert said(fired) == [("1h", "at_risk"), ("1h", "fired")]
    assert [(t.state, t.reason) for t in ledger.drain_transitions()] == [("resolved", "resolved")]


def test_s07_reassignment_does_not_reset_the_customers_wait() -> None:
    story = (opened(0), assigned(5, "alice"), assigned(30, "bob"), assigned(40, None), assigned(50, "alice"))
    report = report_of(*story, answered(70, "bob"))
    assert numbers(report, "bob")["response_seconds_sum"] == 70 * 60
    holds = {name: numbers(report, name)["hold_seconds_sum"] / 60 for name in ("alice", "bob", "_unassigned")}
    assert holds == {"alice": 25 + 20, "bob": 10, "_unassigned": 5 + 10}


def test_s08_the_response_is_the_responders_and_the_breach_the_owners() -> None:
    report = report_of(opened(0, rep_id="alice"), answered(70, "bob"))
    assert (numbers(report, "alice")["responses"], numbers(report, "alice")["breaches"]["1h"]) == (0, 1)
    assert (numbers(report, "bob")["responses"], numbers(report, "bob")["breaches"]["1h"]) == (1, 0)


def test_s08_a_breach_stays_with_the_owner_at_the_due_instant() -> None:
    report = report_of(opened(0, rep_id="alice"), assigned(61, "bob"), answered(70, "bob"))
    assert numbers(report, "alice")["breaches"]["1h"] == 1
    assert numbers(report, "bob")["breaches"]["1h"] == 0


def test_s09_an_answer_exactly_at_the_target_is_met() -> None:
    alice = numbers(report_of(opened(0), answered(60)))
    assert alice["answered_within"] == {"1h": 1, "24h": 1}
    assert alice["breaches"] == {"1h": 0, "24h": 0}


def test_s10_reopening_never_changes_an_earlier_turn() -> None:
    before = numbers(report_of(opened(0), answered(10), until=5 * DAY))
    after = numbers(report_of(opened(0), answered(10), opened(30), until=5 * DAY))
    assert after["answered_within"] == before["answered_within"] == {"1h": 1, "24h": 1}
    assert after["response_seconds_sum"] == before["response_seconds_sum"]


def test_s11_per_turn_and_per_customer_stand_side_by_side() -> None:
    story = (opened(0), answered(10), opened(20), answered(40), opened(0, customer="c2"), answered(60, customer="c2"))
    alice = numbers(report_of(*story))
    assert (alice["responses"], alice["customers_answered"]) == (3, 2)
    assert alice["response_seconds_per_turn"] == 90 * 60 / 3
    assert alice["response_seconds_per_customer"] == 90 * 60 / 2
    assert (alice["response_seconds_p50"], alice["response_seconds_p90"]) == (20 * 60, 52 * 60)


def test_s12_calendar_and_business_time_are_both_recorded() -> None:
    story = (rep("alice", "north"), opened(30, rep_id="alice"), answered(90))
    alice = numbers(report_of(*story, policy=BUSINESS))
    assert (alice["response_seconds_sum"], alice["business_seconds_sum"]) == (3600.0, 1800.0)


def test_s13_an_answer_before_its_request_is_no_answer_and_no_negative_wait() -> None:
    report = report_of(answered(0), opened(10), until=20)
    assert report["open_requests"][0]["waiting_seconds"] == 600.0
    assert "alice" not in report["reps"] or numbers(report)["responses"] == 0


def test_s13_the_same_instant_is_zero_seconds() -> None:
    assert numbers(report_of(answered(10, event_id="a"), opened(10, event_id="b")))["response_seconds_sum"] == 0.0


def test_s13_an_answer_without_a_request_is_an_orphan_after_seven_days() -> None:
    answer = answered(0)
    ledger, _ = live(answer, now=6 * DAY)
    assert ledger.drain_rejected() == []
    ledger.advance(instant_us(at(8 * DAY)))
    ((event, bad),) = ledger.drain_rejected()
    assert (event, bad.reason) == (answer, Reason.ORPHAN)
    assert ledger.sizes()["facts"] == ledger.sizes()["customers"] == 0


def test_s14_each_level_fires_once_at_its_due_instant() -> None:
    ledger, transitions = live(opened(0), now=59)
    assert said(transitions) == [("1h", "at_risk")]
    for minute in (60, 61, 62, 100):
        ledger.set_clock(instant_us(at(minute)))
        ledger.advance(instant_us(at(minute)))
    fired = ledger.drain_transitions()
    assert [(t.level, t.state, t.due_us) for t in fired] == [("1h", "fired", instant_us(at(60)))]


def test_s14_a_late_answer_is_a_breach_even_if_no_timer_ran() -> None:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
    ledger.set_clock(instant_us(at(62)))
    ledger.apply(opened(0))
    ledger.apply(answered(62))
    assert said(ledger.drain_transitions()) == [("1h", "fired"), ("1h", "resolved")]
    assert ledger.view().partial_at("_unassigned", instant_us(at(60))).breaches == {"1h": 1}


def test_s15_the_deadline_keeps_the_calendar_of_the_start() -> None:
    policy = BUSINESS
    story = (rep("alice", "north"), rep("bob", "south"), opened(0, rep_id="alice"), assigned(5, "bob"))
    report = report_of(*story, until=119, policy=policy)
    assert report["open_requests"][0]["levels"] == []
    assert report_of(*story, until=121, policy=policy)["open_requests"][0]["levels"] == ["1h"]


def test_s16_a_weekend_without_work_postpones_a_business_deadline() -> None:
    friday_afternoon = 4 * DAY + 8 * HOUR + 30
    story = (rep("alice", "north"), opened(friday_afternoon, rep_id="alice"))
    monday = 7 * DAY + HOUR
    assert report_of(*story, until=monday + 29, policy=BUSINESS)["alerts"] == []
    assert report_of(*story, until=monday + 31, policy=BUSINESS)["alerts"][0]["state"] == "fired"


def test_s17_an_answer_that_occurred_in_time_retracts_alert_and_breach() -> None:
    ledger, fired = live(opened(0), now=70)
    assert said(fired) == [("1h", "at_risk"), ("1h", "fired")]
    ledger.apply(answered(50))
    (transition,) = ledger.drain_transitions()
    assert (transition.state, transition.reason) == ("retracted", "answered_in_time")
    assert transition.alert_id == fired[-1].alert_id
    assert transition.revision > fired[-1].revision
    assert not ledger.view().partial_at("_unassigned", instant_us(at(60))).breaches


def test_s17_a_retracted_answer_reopens_the_turn_from_its_start_and_fires() -> None:
    answer = answered(50)
    ledger, transitions = live(opened(0), answer, now=70)
    assert transitions == []
    ledger.apply(retracted(72, answer))
    ledger.advance(instant_us(at(81)))
    assert said(ledger.drain_transitions()) == [("1h", "at_risk"), ("1h", "fired")]
    assert [view.opened_us for view in ledger.view().open_requests()] == [instant_us(at(0))]


def test_s18_history_counts_and_alerts_nobody() -> None:
    ledger, transitions = live(opened(0), now=3 * DAY)
    assert transitions == []
    assert ledger.view().partial_at("_unassigned", instant_us(at(60))).breaches == {"1h": 1}
    ledger.apply(answered(3 * DAY - 1))
    assert ledger.drain_transitions() == []


def test_s28_the_future_and_the_forgotten_past_are_refused() -> None:
    ledger, _ = live(now=500 * DAY)
    for event, reason in ((opened(500 * DAY + 6), Reason.CLOCK_SKEW), (opened(0), Reason.TOO_LATE)):
        with pytest.raises(BadRecord) as caught:
            ledger.apply(event)
        assert caught.value.reason is reason
    assert ledger.sizes()["facts"] == ledger.sizes()["customers"] == 0
    ledger.apply(opened(500 * DAY + 4))


def test_case_11_a_clock_that_runs_on_after_close_does_not() -> None:
    at_close = report_of(opened(0), closed(30, "resolved"), until=31)
    later = report_of(opened(0), closed(30, "resolved"), until=300 * DAY)
    assert later["alerts"] == at_close["alerts"] == []
    assert later["reps"]["_unassigned"]["all"] == at_close["reps"]["_unassigned"]["all"]


def test_alerts_say_the_same_after_a_crash() -> None:
    story = (opened(0, event_id="e1"), assigned(5, "bob", event_id="e2"))
    _, first = live(*story, now=61)
    _, again = live(*reversed(story), now=61)
    assert first == again


def test_s08_an_owner_named_after_the_timer_ran_takes_over_breach_and_alert() -> None:
    ledger, fired = live(opened(0, rep_id="alice"), now=66)
    assert [t.rep_id for t in fired if t.state == "fired"] == ["alice"]
    ledger.apply(assigned(30, "bob"))
    ledger.apply(assigned(65, "carol"))
    (again,) = ledger.drain_transitions()
    assert (again.state, again.rep_id, again.alert_id) == ("fired", "bob", fired[-1].alert_id)
    assert again.revision > fired[-1].revision
    breaches = {
        name: dict(ledger.view().partial_at(name, instant_us(at(60))).breaches) for name in ("alice", "bob", "carol")
    }
    assert breaches == {"alice": {}, "bob": {"1h": 1}, "carol": {}}
