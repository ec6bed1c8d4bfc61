"""Cases that products in use miscount (section 8 of the semantics), with answers worked out by hand, for both sides."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from processors.core.reports.replay import replay
from schemas import events as ev
from schemas.codec import encode
from schemas.events import Message
from schemas.policy import DEFAULT_POLICY
from tests.oracle import oracle

START = datetime(2024, 5, 6, 9, 0, tzinfo=UTC)
_numbers = count(1)

Answer = dict[str, Any]
Ask = Callable[..., Answer]
"""Messages, and `at` (minutes after START of the report; absent: the newest event), to a report."""


def fact(of: Callable[..., Message], minutes: float, /, **fields: object) -> Message:
    """A fact of customer c1 so many minutes after START."""
    common = {"event_id": f"e{next(_numbers):04}", "occurred_at": START + timedelta(minutes=minutes)}
    return of(**{"customer_id": "c1", **common, **fields})


def opened(minutes: float, **fields: object) -> Message:
    return fact(ev.RequestOpened, minutes, **{"request_id": "q1", "channel": "email", "rep_id": "ann", **fields})


def answered(minutes: float, **fields: object) -> Message:
    return fact(ev.RequestAnswered, minutes, **{"request_id": "q1", "rep_id": "ann", **fields})


def opportunity(of: Callable[..., Message], minutes: float, /, **fields: object) -> Message:
    return fact(of, minutes, **{"opportunity_id": "o1", "rep_id": "ann", **fields})


def entered(minutes: float, stage: str, **fields: object) -> Message:
    return opportunity(ev.OpportunityStageEntered, minutes, stage=stage, **fields)


def at_us(minutes: float | None) -> int | None:
    if minutes is None:
        return None
    return (START + timedelta(minutes=minutes) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def ask_oracle(*messages: Message, at: float | None = None) -> Answer:
    (answer,) = oracle.reports([([encode(message).decode() for message in messages], at_us(at))])
    return answer


def ask_core(*messages: Message, at: float | None = None) -> Answer:
    return replay(messages, DEFAULT_POLICY, at_us(at))


@pytest.fixture(params=[ask_oracle, ask_core], ids=["oracle", "core"])
def ask(request: pytest.FixtureRequest) -> Ask:
    chosen: Ask = request.param
    return chosen


def numbers(answer: Answer, rep_id: str = "ann", window: str = "all") -> Answer:
    found: Answer = answer["reps"][rep_id][window]
    return found


def test_case_1_answered_at_62_minutes_is_one_breach_no_more_no_less(ask: Ask) -> None:
    ann = numbers(ask(opened(0), answered(62)))
    assert ann["breaches"] == {"1h": 1, "24h": 0}
    assert ann["answered_within"] == {"1h": 0, "24h": 1}
    assert ann["response_seconds_sum"] == 3720.0


def test_case_2_three_more_messages_are_still_one_turn_and_one_breach(ask: Ask) -> None:
    ann = numbers(ask(opened(0), opened(10), opened(30), opened(61), answered(70)))
    assert (ann["responses"], ann["breaches"]["1h"], ann["response_seconds_sum"]) == (1, 1, 4200.0)


def test_case_3_the_responder_has_the_time_and_the_owner_has_the_breach(ask: Ask) -> None:
    answer = ask(opened(0), answered(70, rep_id="bob"))
    ann, bob = numbers(answer), numbers(answer, "bob")
    assert (ann["responses"], ann["breaches"]["1h"], ann["hold_seconds_sum"]) == (0, 1, 4200.0)
    assert (bob["responses"], bob["breaches"]["1h"], bob["response_seconds_sum"]) == (1, 0, 4200.0)


def test_case_5_noting_and_reassigning_move_no_deadline(ask: Ask) -> None:
    answer = ask(
        opened(0),
        answered(20, internal=True),
        fact(ev.RequestAssigned, 40, request_id="q1", rep_id="bob"),
        fact(ev.RequestAssigned, 59, request_id="q1", rep_id=None),
        answered(61, rep_id="bob"),
    )
    assert numbers(answer, "_unassigned")["breaches"]["1h"] == 1
    holds = {rep: numbers(answer, rep)["hold_seconds_sum"] for rep in ("ann", "bob", "_unassigned")}
    assert holds == {"ann": 2400.0, "bob": 1140.0, "_unassigned": 120.0}


def test_case_6_a_bot_in_2_seconds_and_a_person_in_3_hours_are_3_hours(ask: Ask) -> None:
    ann = numbers(ask(opened(0), answered(2 / 60, automated=True), answered(180)))
    assert (ann["responses"], ann["response_seconds_sum"]) == (1, 10800.0)


@pytest.mark.parametrize(
    ("reason", "breaches"), [("resolved", 1), ("no_reply_needed", 1), ("spam", 0), ("withdrawn", 0)]
)
def test_case_7_closing_without_answer_improves_nothing(ask: Ask, reason: str, breaches: int) -> None:
    ann = numbers(ask(opened(0), fact(ev.RequestClosed, 90, request_id="q1", reason=reason), answered(95)))
    assert (ann["responses"], ann["customers_answered"], ann["response_seconds_per_turn"]) == (0, 0, None)
    assert ann["breaches"]["1h"] == breaches
    assert ann["closed_unanswered"] == {reason: 1}


def test_case_8_a_stage_entered_twice_counts_once_and_losing_unreaches_nothing(ask: Ask) -> None:
    answer = ask(
        opportunity(ev.OpportunityCreated, 0),
        entered(10, "demo"),
        entered(20, "prospecting"),
        entered(30, "demo"),
        opportunity(ev.OpportunityLost, 40),
    )
    stages = numbers(answer)["stages"]["default"]
    counts = {name: (stage["entered"], stage["visited"], stage["advanced"]) for name, stage in stages.items()}
    assert counts == {
        "prospecting": (1, 1, 1),
        "qualified": (1, 0, 1),
        "demo": (1, 1, 0),
        "trial": (0, 0, 0),
        "proposal": (0, 0, 0),
        "negotiation": (0, 0, 0),
    }
    assert (stages["demo"]["conversion"], stages["trial"]["conversion"]) == (0.0, None)


def test_case_9_won_reopened_and_won_again_is_one_win_with_the_cycle_to_the_last_close(ask: Ask) -> None:
    ann = numbers(
        ask(
            opportunity(ev.OpportunityCreated, 0),
            fact(ev.ActivityLogged, 10, rep_id="bob", kind="call"),
            opportunity(ev.OpportunityWon, 60, amount=Decimal("10.00")),
            opportunity(ev.OpportunityReopened, 90),
            opportunity(ev.OpportunityWon, 130, amount=Decimal("12.50")),
        )
    )
    assert (ann["won"], ann["lost"], ann["won_amount"], ann["created_won"]) == (1, 0, "12.50", 1)
    assert (ann["sales_cycle_won_seconds"], ann["sales_cycle_lost_seconds"]) == (7200.0, None)
    assert (ann["win_rate_created"], ann["win_rate_closed"], ann["cycle_fallbacks"]) == (1.0, 1.0, 0)


def test_case_10_a_second_turn_leaves_the_first_one_met(ask: Ask) -> None:
    answer = ask(opened(0), answered(30), opened(100), at=200)
    ann = numbers(answer)
    assert (ann["answered_within"]["1h"], ann["breaches"]["1h"]) == (1, 1)
    (waiting,) = answer["open_requests"]
    assert (waiting["turn"], waiting["waiting_seconds"], waiting["levels"]) == (2, 6000.0, ["1h"])


def test_case_11_no_clock_runs_on_after_a_close(ask: Ask) -> None:
    answer = ask(opened(0), fact(ev.RequestClosed, 30, request_id="q1", reason="resolved"), at=3 * 1440)
    assert answer["open_requests"] == answer["alerts"] == []
    assert numbers(answer)["breaches"] == {"1h": 0, "24h": 0}


def in_team(rep_id: str, zone: str) -> Message:
    return ev.RepUpdated(rep_id=rep_id, name=rep_id, team="sales", time_zone=zone)


@pytest.mark.parametrize(
    ("hours", "responses", "customers", "per_customer"),
    [(1, 3, 2, 2400.0), (5.99, 3, 2, 2400.0), (6, 1, 1, 600.0), (21.99, 1, 1, 600.0), (22, 0, 0, None)],
    ids=["morning", "before midnight in Tokyo", "after it", "before midnight in Los Angeles", "after it too"],
)
def test_case_12_a_teams_customers_are_those_of_the_answers_in_its_sum_whatever_the_hour(
    ask: Ask, hours: float, responses: int, customers: int, per_customer: float | None
) -> None:
    """At 9:00 UTC it is 2:00 in Los Angeles and 18:00 in Tokyo; c1 is answered by both, c2 in Tokyo."""
    story = [in_team("ann", "America/Los_Angeles"), in_team("bob", "Asia/Tokyo"), opened(0), answered(10)]
    for number, customer in (("q2", "c1"), ("q3", "c2")):
        own = {"request_id": number, "customer_id": customer, "rep_id": "bob"}
        story += [opened(0, **own), answered(35, **own)]
    answer = ask(*story, at=hours * 60)
    for windows in (answer["teams"]["sales"], answer["company"]):
        today = windows["today"]
        assert (today["responses"], today["customers_answered"]) == (responses, customers)
        assert today["response_seconds_per_customer"] == per_customer
        assert (windows["7d"]["responses"], windows["7d"]["customers_answered"]) == (3, 2)


def test_s11_the_last_evening_of_los_angeles_counts_beside_the_new_morning_of_london(ask: Ask) -> None:
    """Eleven customers are answered in 10 minutes each, ten of them before midnight UTC (at 22:00 in Los Angeles)."""
    story = [in_team("ann", "America/Los_Angeles"), in_team("bob", "Europe/London")]
    for number in range(11):
        own = {"request_id": f"q{number}", "customer_id": f"c{number}", "rep_id": "bob" if number == 0 else "ann"}
        minutes = 16 * 60 if number == 0 else 14 * 60
        story += [opened(minutes, **own), answered(minutes + 10, **own)]
    answer = ask(*story, at=16 * 60 + 30)
    for today in (answer["teams"]["sales"]["today"], answer["company"]["today"]):
        assert (today["responses"], today["customers_answered"]) == (11, 11)
        assert today["response_seconds_per_customer"] == 600.0


def test_s04_an_automated_message_of_the_customer_opens_no_turn(ask: Ask) -> None:
    assert ask(opened(0, automated=True), at=600)["open_requests"] == []


def test_s05_an_unlinked_answer_counts_on_the_channel_of_the_message_that_opened_the_turn(ask: Ask) -> None:
    answer = ask(
        opened(0),
        opened(5, channel="chat"),
        opened(0, request_id="q2", channel="chat"),
        answered(10, request_id=None, channel="chat", rep_id="bob"),
        at=20,
    )
    assert [waiting["request_id"] for waiting in answer["open_requests"]] == ["q1"]
    assert numbers(answer, "bob")["responses"] == 1


def test_s09_answered_exactly_at_the_target_is_met(ask: Ask) -> None:
    assert numbers(ask(opened(0), answered(60)))["answered_within"]["1h"] == 1
    assert numbers(ask(opened(0), answered(60.000001)))["breaches"]["1h"] == 1


def test_s13_an_answer_before_the_message_answers_nothing_and_the_same_instant_is_0_seconds(ask: Ask) -> None:
    assert ask(answered(-1), opened(0))["open_requests"][0]["waiting_seconds"] == 0.0
    ann = numbers(ask(answered(0), opened(0)))
    assert (ann["responses"], ann["response_seconds_p50"]) == (1, 0.0)


def test_s17_a_retracted_answer_reopens_the_turn_from_its_start(ask: Ask) -> None:
    answer = answered(10)
    assert isinstance(answer, ev.RequestAnswered)
    correction = fact(ev.EventRetracted, 50, retracts=answer.event_id, entity="request", entity_id="q1")
    (waiting,) = ask(opened(0), answer, correction, at=90)["open_requests"]
    assert (waiting["turn"], waiting["waiting_seconds"], waiting["levels"]) == (1, 5400.0, ["1h"])


def test_s11_response_time_per_customer_is_the_sum_over_distinct_customers(ask: Ask) -> None:
    second = {"customer_id": "c2", "request_id": "q9"}
    answer = ask(opened(0), answered(10), opened(20), answered(50), opened(0, **second), answered(20, **second))
    ann = numbers(answer)
    assert (ann["responses"], ann["customers_answered"], ann["response_seconds_sum"]) == (3, 2, 3600.0)
    assert (ann["response_seconds_per_turn"], ann["response_seconds_per_customer"]) == (1200.0, 1800.0)
    assert (ann["response_seconds_p50"], ann["response_seconds_p90"]) == (1200.0, 1680.0)


def test_s19_a_day_is_the_day_of_the_reps_zone(ask: Ask) -> None:
    messages = (
        ev.RepUpdated(rep_id="ann", name="Ann", team="east", time_zone="Asia/Tokyo"),
        ev.RepUpdated(rep_id="bob", name="Bob", team="east"),
        *(fact(ev.ActivityLogged, 10, rep_id=rep, kind="call", recontactable=True) for rep in ("ann", "bob")),
    )
    midnight_in_tokyo = 6 * 60
    for minutes, calls in ((midnight_in_tokyo - 1, {"call": 1}), (midnight_in_tokyo, {})):
        answer = ask(*messages, at=minutes)
        assert numbers(answer, "ann", "today")["activities"] == calls
        assert numbers(answer, "bob", "today")["activities"] == {"call": 1}
        assert answer["teams"]["east"]["7d"]["recontactable_customers"] == 1


def test_s26_lifetime_value_is_rounded_half_even_in_the_present_segment(ask: Ask) -> None:
    answer = ask(
        fact(ev.CustomerUpdated, 0, segment="smb"),
        fact(ev.CustomerUpdated, 1, segment="enterprise"),
        fact(ev.CustomerUpdated, 2),
        fact(ev.CustomerRevenue, 3, amount=Decimal("10.00")),
        fact(ev.CustomerRevenue, 4, amount=Decimal("-2.50")),
        fact(ev.CustomerCost, 4, amount=Decimal("1.25"), kind="acquisition"),
        fact(ev.CustomerUpdated, 0, customer_id="c2", segment="enterprise"),
        fact(ev.CustomerCost, 4, customer_id="c2", amount=Decimal("0.40"), kind="other"),
        fact(ev.CustomerUpdated, 0, customer_id="c3", segment="smb"),
        fact(ev.CustomerRevenue, 0, customer_id="c4", amount=Decimal("0.01")),
        fact(ev.CustomerRevenue, 0, customer_id="c5", amount=Decimal("0.00")),
    )
    assert answer["segments"] == {
        "enterprise": {"customers": 2, "revenue": "7.50", "cost": "1.65", "lifetime_value": "2.92"},
        "unknown": {"customers": 2, "revenue": "0.01", "cost": "0.00", "lifetime_value": "0.00"},
    }
