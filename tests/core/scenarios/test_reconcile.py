"""What a former owner said of alerts is borne out by the facts of its successor, or taken back."""

import msgspec
import pytest

from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.state.directory import directory_of
from processors.core.time.instants import instant_us
from schemas.alerts import Transition
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY
from tests.core.scenarios.test_alert_follow_up import ledger_of, pass_time, said
from tests.story import answered, at, opened

DUE = 60
"""The minute at which the level `1h` is due."""


def by_former(*events: Event, minute: float) -> list[Transition]:
    """What an owner says that knows these events alone, up to a minute."""
    ledger = ledger_of()
    said_before = pass_time(ledger, 0)
    for event in events:
        said_before += pass_time(ledger, (event.occurred_at - at(0)).total_seconds() / 60)
        ledger.apply(event)
    return said_before + pass_time(ledger, minute)


def successor(*events: Event, durable: int, minute: float) -> Ledger:
    """An owner that restored the state of the first events, and read the others after that."""
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), Retention())
    for event in events[:durable]:
        ledger.apply(event)
    ledger.resume(instant_us(at(1)), {})
    for event in events[durable:]:
        ledger.apply(event)
    pass_time(ledger, minute)
    return ledger


def reconciled(ledger: Ledger, former: list[Transition]) -> list[Transition]:
    ledger.reconcile(former[-1:])
    return ledger.drain_transitions()


def test_an_alarm_of_who_did_not_know_the_answer_is_taken_back_once() -> None:
    former = by_former(opened(0), minute=DUE + 1)
    assert said(former)[-1] == ("1h", "fired")
    ledger = successor(opened(0), answered(30), durable=1, minute=DUE + 5)

    taken_back = reconciled(ledger, former)

    assert said(taken_back) == [("1h", "retracted")]
    assert taken_back[0].alert_id == former[-1].alert_id
    assert taken_back[0].revision > former[-1].revision
    assert reconciled(ledger, former) == []


def test_an_alarm_that_is_due_stands_and_is_not_repeated() -> None:
    former = by_former(opened(0), minute=DUE + 1)
    ledger = successor(opened(0), durable=1, minute=DUE + 5)

    assert reconciled(ledger, former) == []

    ledger.apply(answered(DUE + 10))
    resolved = pass_time(ledger, DUE + 11)
    assert said(resolved) == [("1h", "resolved")]
    assert resolved[0].revision > former[-1].revision


def test_an_alarm_before_its_time_is_taken_back() -> None:
    former = by_former(opened(0), minute=DUE + 1)
    ledger = successor(opened(0), durable=1, minute=10)

    assert said(reconciled(ledger, former)) == [("1h", "retracted")]
    assert said(pass_time(ledger, DUE + 1))[-1] == ("1h", "fired")


def test_an_alarm_about_a_request_of_which_nothing_is_known_is_taken_back() -> None:
    former = by_former(opened(0), minute=DUE + 1)
    taken_back = reconciled(successor(durable=0, minute=DUE + 5), former)
    assert said(taken_back) == [("1h", "retracted")]
    assert taken_back[0].revision == former[-1].revision + 1


def test_a_warning_that_ended_with_the_answer_is_resolved() -> None:
    former = by_former(opened(0), minute=DUE - 5)
    assert said(former) == [("1h", "at_risk")]
    ledger = successor(opened(0), answered(30), durable=1, minute=DUE + 5)
    assert said(reconciled(ledger, former)) == [("1h", "resolved")]


@pytest.mark.parametrize("ahead", [0, 10**10])
def test_what_the_successor_said_of_a_breach_stands_whatever_comes_late(ahead: int) -> None:
    (*_, fired) = by_former(opened(0), minute=DUE + 1)
    late = msgspec.structs.replace(fired, revision=fired.revision + ahead)
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY), Retention())
    pass_time(ledger, 0)
    ledger.apply(opened(0))
    pass_time(ledger, DUE + 10)
    ledger.apply(answered(DUE + 10))
    assert said(pass_time(ledger, DUE + 11))[-1] == ("1h", "resolved")

    again = reconciled(ledger, [late])

    assert said(again) == ([("1h", "resolved")] if ahead else [])
    assert all(transition.revision == late.revision + 1 for transition in again)


def test_what_ended_by_the_former_owners_words_needs_no_more() -> None:
    former = by_former(opened(0), answered(DUE - 5), minute=DUE + 1)
    assert said(former) == [("1h", "at_risk"), ("1h", "resolved")]
    ledger = successor(opened(0), answered(DUE - 5), durable=1, minute=DUE + 5)
    assert reconciled(ledger, former) == []


def test_numbers_do_not_change_by_it() -> None:
    former = by_former(opened(0), minute=DUE + 1)
    ledger = successor(opened(0), answered(30), durable=1, minute=DUE + 5)
    before = ledger.everything()
    ledger.drain_outcomes()
    reconciled(ledger, former)
    assert ledger.everything() == before
    assert not any(ledger.drain_outcomes().values())
