"""What is too old leaves as a whole, together with all that it said, and nothing that is needed leaves."""

from collections.abc import Iterable

import pytest

from processors.core.ledger import retention as module
from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.state.directory import directory_of
from processors.core.time.instants import DAY_US, instant_us
from schemas.errors import BadRecord, Reason
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY
from tests.story import DAY, activity, answered, assigned, at, created, opened, retracted, revenue, segment, won

NOTHING = {"facts": 0, "customers": 0, "requests": 0, "open_requests": 0, "opportunities": 0}


def ledger_of(events: Iterable[Event]) -> Ledger:
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), Retention())
    for event in events:
        ledger.apply(event)
    return ledger


def sweep(ledger: Ledger, minute: float) -> list[tuple[Event, BadRecord]]:
    """Let time pass to a minute, until all facts were looked at; what turned out bad."""
    now_us = instant_us(at(minute))
    ledger.set_clock(now_us)
    ledger.advance(now_us)
    while ledger.retention is not None and ledger.retention.is_sweeping:
        ledger.advance(now_us)
    return ledger.drain_rejected()


@pytest.mark.parametrize("order", [1, -1])
def test_no_part_of_a_request_leaves_before_the_rest(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_BATCH_SIZE", 7)
    story: list[Event] = [opened(n, f"r{n}", customer=f"c{n % 3}") for n in range(10)]
    story += [answered(20 + n, "alice", f"r{n}", customer=f"c{n % 3}") for n in range(10)]
    ledger = ledger_of(story[::order])
    now_us = instant_us(at(450 * DAY))
    ledger.set_clock(now_us)
    ledger.advance(now_us)
    while ledger.retention is not None and ledger.retention.is_sweeping:
        assert ledger.sizes()["open_requests"] == 0
        ledger.advance(now_us)
    assert ledger.sizes() == NOTHING
    assert ledger.drain_rejected() == []
    assert ledger.drain_transitions() == []
    assert not ledger.everything().puts


def test_retracted_facts_and_their_retractions_leave_too() -> None:
    wrong: list[Event] = [opened(0), answered(1), answered(2, request=None), activity(3), created(4), revenue(5, 1)]
    ledger = ledger_of([*wrong, *(retracted(10, event) for event in wrong)])
    sweep(ledger, 450 * DAY)
    sweep(ledger, 452 * DAY)
    assert ledger.sizes() == NOTHING
    assert not ledger.customers


def test_s26_a_segment_whose_customers_are_gone_is_forgotten() -> None:
    ledger = ledger_of([revenue(0, 1), segment(1, "one of a million")])
    assert ledger.drain_changes().puts["segments"].keys() == {"one of a million"}
    sweep(ledger, 450 * DAY)
    assert ledger.drain_changes().deletes["segments"] == ["one of a million"]
    assert ledger.view().segments() == {}


def test_a_retracted_fact_stays_with_its_request() -> None:
    wrong = answered(5)
    ledger = ledger_of([opened(0), wrong, retracted(6, wrong), opened(399 * DAY)])
    sweep(ledger, 400 * DAY)
    assert wrong.event_id in ledger.facts
    assert [view.opened_us for view in ledger.view().open_requests()] == [instant_us(at(0))]


def test_s17_what_two_retractions_name_never_was_as_long_as_one_of_them_is_kept() -> None:
    """The fact comes after the older retraction has left, to a request that lives."""
    wrong = answered(5)
    late = retracted(300 * DAY, wrong)
    ledger = ledger_of([opened(0), retracted(6, wrong), late])
    sweep(ledger, 410 * DAY)
    assert [type(fact).__name__ for fact in ledger.facts.values()] == ["RequestOpened", "EventRetracted"]
    ledger.apply(wrong)
    assert [view.request_id for view in ledger.view().open_requests()] == ["r1"]


def test_s13_a_retracted_answer_is_no_orphan() -> None:
    wrong, lone = answered(0), assigned(1, "bob")
    ledger = ledger_of([wrong, retracted(2, wrong), lone])
    assert [(event, bad.reason) for event, bad in sweep(ledger, 9 * DAY)] == [(lone, Reason.ORPHAN)]


def test_another_customers_retraction_of_the_same_id_does_not_leave_with_the_first() -> None:
    call = activity(390 * DAY)
    late = retracted(390 * DAY, call)
    ledger = ledger_of([retracted(0, call, customer="c2"), late])
    sweep(ledger, 401 * DAY)
    ledger.apply(call)
    assert not any(partial.activities for partial in ledger.view().partials("alice").values())


def test_s05_a_request_stays_while_a_window_sees_the_answer_that_did_not_name_it() -> None:
    ledger = ledger_of([opened(0), answered(380 * DAY, "alice", None)])
    sweep(ledger, 381 * DAY)
    assert ledger.view().partial_at("alice", instant_us(at(380 * DAY))).responses == 1
    sweep(ledger, 380 * DAY + 371 * DAY)
    sweep(ledger, 380 * DAY + 373 * DAY)
    assert ledger.sizes() == NOTHING


@pytest.mark.parametrize("opportunity", ["o1", None])
def test_s24_the_first_follow_up_stays_with_its_opportunity_and_later_activities_leave(opportunity: str | None) -> None:
    first, second = activity(2, opportunity_id=opportunity), activity(3, opportunity_id=opportunity)
    ledger = ledger_of([created(1), first, second, won(379 * DAY)])
    sweep(ledger, 380 * DAY)
    assert first.event_id in ledger.facts
    assert second.event_id not in ledger.facts
    day = ledger.view().partial_at("alice", instant_us(at(379 * DAY)))
    assert (day.cycle_won_us, day.cycle_fallbacks) == (379 * DAY_US - 2 * 60_000_000, 0)
    sweep(ledger, 379 * DAY + 401 * DAY)
    sweep(ledger, 379 * DAY + 403 * DAY)
    assert ledger.sizes() == NOTHING


def test_an_opportunity_that_only_activities_named_leaves_with_them() -> None:
    call = activity(0, opportunity_id="o9")
    ledger = ledger_of([call, activity(1), retracted(2, call)])
    ledger.refold()
    assert ledger.sizes()["opportunities"] == 0


@pytest.mark.parametrize(
    ("late", "stranger"),
    [
        (assigned(DAY, "bob"), assigned(DAY, "bob", "r2")),
        (answered(DAY, "bob", None), answered(DAY, "bob", None, customer="c2")),
        (won(DAY), won(DAY, opportunity="o2")),
        (revenue(DAY, 5), revenue(DAY, 5, customer="c2")),
    ],
)
def test_s28_a_late_fact_is_taken_while_its_root_lives_and_refused_when_it_would_begin_one(
    late: Event, stranger: Event
) -> None:
    ledger = ledger_of([opened(0), created(0), activity(300 * DAY, opportunity_id="o1"), revenue(300 * DAY, 5)])
    ledger.set_clock(instant_us(at(420 * DAY)))
    assert ledger.apply(late) == "applied"
    with pytest.raises(BadRecord) as caught:
        ledger.apply(stranger)
    assert caught.value.reason is Reason.TOO_LATE
