"""What is told is held against what was due: nothing missing, nothing false, nothing twice, nothing out of order."""

from typing import Any

from processors.core.time.instants import SECOND_US, rfc3339
from tests.chaos.count import Alert, Expected, Span, Told, told
from tests.chaos.receiver import Letter

DUE_US = 1_800_000_000 * SECOND_US
DUE_AT = rfc3339(DUE_US)
SPAN = Span(DUE_US - SECOND_US, DUE_US + SECOND_US)


def letter(alert_id: str, state: str, revision: int, **more: Any) -> Letter:
    body = {"alert_id": alert_id, "state": state, "revision": revision, "key": f"{alert_id}@{revision}"}
    return Letter(0.0, {**body, "due_at": DUE_AT, "rep_id": "ann", **more})


def judged(*letters: Letter, **alerts: str) -> Told:
    expected = Expected(reps={}, waiting=set(), alerts={name: Alert(state, DUE_AT) for name, state in alerts.items()})
    return told(letters, expected, SPAN)


def test_what_was_due_and_told_is_right() -> None:
    found = judged(letter("a", "at_risk", 1), letter("a", "fired", 2), letter("a", "resolved", 3), a="resolved")
    assert found == Told(wrong=[], alerts=1, letters=3, repeats=0, taken_back=0)


def test_an_alert_that_was_never_told_is_found() -> None:
    assert judged(a="fired").wrong == [f"never told that a was due at {DUE_AT}; told was []"]
    assert "never told that a" in judged(letter("a", "at_risk", 1), letter("a", "resolved", 2), a="resolved").wrong[0]


def test_an_end_that_was_never_told_is_found() -> None:
    assert judged(letter("a", "fired", 1), a="resolved").wrong == ["a is resolved; told was ['fired']"]


def test_a_false_alarm_must_be_taken_back() -> None:
    (wrong,) = judged(letter("a", "fired", 1)).wrong
    assert "a false alarm that stays: a" in wrong
    found = judged(letter("a", "fired", 1), letter("a", "retracted", 2))
    assert (found.wrong, found.taken_back) == ([], 1)


def test_a_warning_that_ends_in_time_is_no_false_alarm() -> None:
    assert judged(letter("a", "at_risk", 1), letter("a", "resolved", 2)).wrong == []


def test_deadlines_beyond_the_span_are_left_out() -> None:
    later = rfc3339(DUE_US + 2 * SECOND_US)
    assert judged(letter("a", "fired", 1, due_at=later)).wrong == []


def test_repeats_are_counted_by_key_and_by_what_they_say() -> None:
    fired = letter("a", "fired", 1)
    assert judged(fired, fired, a="fired").repeats == 1
    assert judged(fired, letter("a", "fired", 2), letter("a", "fired", 3), a="fired").repeats == 2


def test_an_older_step_after_a_newer_one_is_found() -> None:
    found = judged(letter("a", "fired", 2), letter("a", "at_risk", 1), letter("a", "fired", 3), a="fired")
    assert found.wrong == ["a was told out of order: revisions [2, 1, 3]"]
