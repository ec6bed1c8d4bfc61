"""What one receiver is told: in order, once, still true, and not while somebody takes care of it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.core.time.instants import HOUR_US
from processors.notifier.acks import Hold, TurnKey
from processors.notifier.book import REMEMBERED_ENDED, Book
from processors.notifier.notices import Habits, Notice, Place, Word
from schemas.alerts import State, Transition
from tests.notifier.world import transition

EVERY, PEOPLE, MIRROR = Habits(every=True), Habits(), Habits(mirrors=True)
TURN = TurnKey("c1", "r1", 1)
HOLD = {TURN: Hold(by="bob", at_us=1)}


OPENED_US = 1_767_571_200_000_000


def same(request: str = "r1", state: State = "fired", facts: int = 1, **more: Any) -> Transition:
    """A step of an alert that is about one and the same deadline each time."""
    return transition(request, state, facts, **{"opened_us": OPENED_US, **more})


class Told:
    """A book with a receiver that takes everything as soon as it is asked to."""

    def __init__(self, habits: Habits) -> None:
        self.book = Book(habits)
        self.offset = 0
        self.notices: list[Notice] = []

    def take(self, step: Transition, word: Word | None = None) -> str:
        """A transition from the topic."""
        taken = self.book.take(step, Place(0, self.offset), word)
        self.offset += 1
        return taken

    def tell(self) -> list[State]:
        """Tell everything that is due; the states that were told."""
        told = []
        while due := list(self.book.due(0.0)):
            for notice in due:
                self.book.sent(notice)
                told.append(notice)
        self.notices += told
        return [notice.transition.state for notice in told]


def test_a_repetition_and_an_older_revision_are_not_told() -> None:
    told = Told(EVERY)
    told.take(transition(state="fired", facts=1))
    assert told.tell() == ["fired"]
    assert told.take(transition(state="fired", facts=1)) == "duplicate"
    assert told.take(transition(state="at_risk", facts=1)) == "duplicate"
    assert told.tell() == []
    assert told.book.skipped == {"duplicate": 2}


def test_a_repetition_after_the_end_is_known_again() -> None:
    told = Told(EVERY)
    told.take(transition(state="fired", facts=1))
    told.take(transition(state="resolved", facts=2))
    assert told.tell() == ["fired", "resolved"]
    assert told.take(transition(state="fired", facts=1)) == "duplicate"
    assert told.take(transition(state="fired", facts=3)) == "queued"


def test_what_a_killed_worker_says_again_knowing_more_is_a_repetition() -> None:
    """Its facts grew meanwhile, so that its revisions are newer; what it says is not."""
    told = Told(EVERY)
    for state in ("at_risk", "fired", "resolved"):
        told.take(same(state=state, facts=2 if state == "resolved" else 1))
    assert told.tell() == ["at_risk", "fired", "resolved"]
    again = same(state="fired", facts=3)
    again.reason = "ended_overdue"
    assert told.take(again) == "duplicate"
    assert told.take(same(state="resolved", facts=3)) == "duplicate"
    assert told.book.active == 0


def test_a_warning_after_the_breach_it_led_to_is_a_repetition() -> None:
    told = Told(EVERY)
    told.take(same(state="at_risk"))
    told.take(same(state="fired"))
    assert told.take(same(state="at_risk", facts=2)) == "duplicate"
    assert told.take(same(state="fired", facts=2)) == "duplicate"
    assert told.tell() == ["at_risk", "fired"]
    assert told.take(same(state="resolved", facts=2)) == "queued"


def test_a_breach_after_its_end_is_news_when_the_turn_is_open_again() -> None:
    told = Told(PEOPLE)
    told.take(same(state="fired"))
    told.tell()
    told.take(same(state="resolved", facts=2))
    told.take(same(state="fired", facts=3))
    assert told.tell() == ["fired"]
    assert told.book.active == 1


def test_the_same_breach_of_another_owner_or_at_another_instant_is_news() -> None:
    told = Told(EVERY)
    told.take(same(state="fired"))
    told.take(same(state="fired", facts=2, rep_id="bob"))
    told.take(same(state="fired", facts=3, rep_id="bob", opened_us=OPENED_US + 1))
    assert told.tell() == ["fired"] * 3


def test_after_a_restart_of_both_a_repetition_is_known() -> None:
    """The notifier reads its topic from the beginning: what it is done with, it knows from there."""
    told = Told(EVERY)
    told.book.recall(same(state="fired"), Place(0, 0), None)
    told.book.recall(same(state="resolved", facts=2), Place(0, 1), None)
    assert told.take(same(state="resolved", facts=3)) == "duplicate"
    assert told.tell() == []


def test_a_breach_after_a_warning_that_was_answered_in_time_is_news() -> None:
    """The answer is retracted and a late one comes, both in one batch: nobody was told of the breach before."""
    for restart in (False, True):
        told = Told(EVERY)
        steps = [same(state="at_risk"), same(state="resolved", facts=2, at_us=OPENED_US + HOUR_US - 1)]
        for step in steps:
            told.take(step)
        assert told.tell() == ["at_risk", "resolved"]
        if restart:
            told = Told(EVERY)
            for offset, step in enumerate(steps):
                told.book.recall(step, Place(0, offset), None)
        told.take(same(state="fired", facts=4, reason="ended_overdue"))
        told.take(same(state="resolved", facts=4, at_us=OPENED_US + HOUR_US + 1))
        assert told.tell() == ["fired", "resolved"]


def test_a_breach_whose_record_is_compacted_away_is_a_repetition() -> None:
    """The topic keeps the newest record of an alert: its end, which tells by its instant that there was a breach."""
    told = Told(EVERY)
    told.book.recall(same(state="resolved", facts=2, at_us=OPENED_US + HOUR_US + 1), Place(0, 0), None)
    assert told.take(same(state="fired", facts=3, reason="ended_overdue")) == "duplicate"
    assert told.take(same(state="resolved", facts=3, at_us=OPENED_US + HOUR_US + 1)) == "duplicate"


def test_the_record_of_an_end_stays_until_its_offset_is_committed() -> None:
    """Whoever reads everything again before that finds what was sent, and sends nothing twice."""
    steps = [transition(state="fired"), transition(state="resolved", facts=2)]
    first = Told(EVERY)
    for step in steps:
        first.take(step)
    assert first.tell() == ["fired", "resolved"]
    record = first.book.log[-1]
    for _ in range(3):
        again = Told(EVERY)
        for step in steps:
            again.take(step, record)
        assert again.tell() == []
        assert again.book.over({0: 1}) == []
    assert again.book.over({0: 2}) == [record.alert_id]


def test_a_receiver_of_every_transition_gets_also_what_is_over() -> None:
    told = Told(EVERY)
    told.take(transition(state="at_risk"))
    told.take(transition(state="fired"))
    told.take(transition(state="resolved", facts=2))
    assert told.tell() == ["at_risk", "fired", "resolved"]


def test_people_get_what_is_still_true() -> None:
    told = Told(PEOPLE)
    told.take(transition("r1", "at_risk"))
    told.take(transition("r1", "fired"))
    told.take(transition("r2", "fired"))
    assert told.take(transition("r2", "resolved", 2)) == "superseded"
    assert told.tell() == ["fired"]
    assert told.book.first_waiting(0) is None


def test_people_who_were_told_hear_of_the_end() -> None:
    told = Told(PEOPLE)
    told.take(transition(state="fired"))
    told.tell()
    told.take(transition(state="resolved", facts=2))
    assert told.tell() == ["resolved"]


def test_states_that_people_do_not_want_are_left_out() -> None:
    told = Told(Habits(tell=frozenset({"fired"})))
    assert told.take(transition(state="at_risk")) == "unwanted"
    told.take(transition(state="fired"))
    assert told.tell() == ["fired"]
    assert told.take(transition(state="resolved", facts=2)) == "unwanted"
    assert told.tell() == []
    assert told.book.active == 0


def test_the_first_place_that_waits_holds_back_the_commit() -> None:
    told = Told(EVERY)
    told.take(transition("r1"))
    told.take(transition("r2"))
    told.take(transition("r3"))
    first, second, third = told.book.due(0.0)
    told.book.sent(second)
    assert told.book.first_waiting(0) == 0
    told.book.sent(first)
    assert told.book.first_waiting(0) == 2
    told.book.rejected(third)
    assert told.book.first_waiting(0) is None
    assert told.book.waiting == 0


def test_what_is_put_off_waits_alone() -> None:
    told = Told(EVERY)
    told.take(transition("r1"))
    told.take(transition("r2"))
    next(told.book.due(0.0)).not_before = 9.0
    assert [notice.transition.request_id for notice in told.book.due(8.0)] == ["r2"]
    assert [notice.transition.request_id for notice in told.book.due(9.0)] == ["r1", "r2"]


def test_what_somebody_takes_care_of_is_not_told_until_it_is_let_go() -> None:
    told = Told(PEOPLE)
    told.book.hold(HOLD, 5)
    assert told.take(transition(state="at_risk")) == "held"
    assert told.take(transition(state="fired")) == "held"
    assert told.tell() == []
    assert told.book.first_waiting(0) is None
    assert [(word.result, word.told) for word in told.book.log] == [("held", None)] * 2
    told.book.hold({}, 7)
    assert told.tell() == ["fired"]
    assert told.notices[0].key.endswith("@5+7")


def test_an_alert_that_was_told_is_told_again_after_its_snooze() -> None:
    told = Told(PEOPLE)
    told.take(transition(state="fired"))
    told.tell()
    told.book.hold(HOLD, 5)
    assert told.tell() == []
    told.book.hold({}, 9)
    assert told.tell() == ["fired"]
    told.book.hold({}, 10)
    assert told.tell() == []


def test_the_end_of_a_held_alert_is_told_only_to_those_who_knew_it() -> None:
    for known in (True, False):
        told = Told(EVERY)
        told.take(transition(state="at_risk"))
        if known:
            told.tell()
        told.book.hold(HOLD, 5)
        told.take(transition(state="fired"))
        told.take(transition(state="resolved", facts=2))
        assert told.tell() == (["resolved"] if known else [])
        told.book.hold({}, 9)
        assert told.tell() == []


def test_a_mirror_takes_out_what_is_held_and_shows_it_again() -> None:
    told = Told(MIRROR)
    told.take(transition(state="fired"))
    told.tell()
    assert len(told.book.shown(told.book.alert_ids())) == 1
    told.book.hold(HOLD, 5)
    told.tell()
    assert told.notices[-1].hold == HOLD[TURN]
    assert told.book.shown(told.book.alert_ids()) == []
    told.book.hold({}, 9)
    told.tell()
    assert told.notices[-1].hold is None
    assert len(told.book.shown(told.book.alert_ids())) == 1


def test_after_a_restart_only_what_the_log_does_not_know_is_told() -> None:
    before = Told(PEOPLE)
    before.take(transition("r1", "fired"))
    before.take(transition("r2", "fired"))
    before.book.sent(next(before.book.due(0.0)))
    words = {word.alert_id: word for word in before.book.log}
    after = Told(PEOPLE)
    for request in ("r1", "r2"):
        step = transition(request, "fired")
        after.take(step, words.get(step.alert_id))
    assert [notice.transition.request_id for notice in after.book.due(0.0)] == ["r2"]
    after.take(transition("r1", "resolved", 2))
    after.tell()
    assert [notice.transition.state for notice in after.notices] == ["fired", "resolved"]


def test_after_a_restart_what_was_held_is_told_when_the_hold_has_ended() -> None:
    before = Told(PEOPLE)
    before.book.hold(HOLD, 5)
    before.take(transition(state="fired"))
    (word,) = before.book.log
    for hold, wanted in ((HOLD, []), ({}, ["fired"])):
        after = Told(PEOPLE)
        after.book.recall(transition(state="fired"), Place(0, 0), word)
        after.book.hold(hold, 9)
        assert after.tell() == wanted


def test_words_go_when_the_end_is_committed_and_stay_for_an_alert_that_fired_again() -> None:
    told = Told(EVERY)
    for request in ("r1", "r2"):
        told.take(transition(request, "fired"))
        told.take(transition(request, "retracted", 2))
    told.tell()
    told.take(transition("r2", "fired", 3))
    assert told.book.over({0: 1}) == []
    assert told.book.over({0: 4}) == ["c1/r1/1/1h"]
    assert told.book.over({0: 9}) == []


def test_recalling_an_end_does_not_forget_the_word_on_what_followed_it() -> None:
    told = Told(PEOPLE)
    word = Word(alert_id="c1/r1/1/1h", revision=13, result="sent", told="fired")
    told.book.recall(transition(state="retracted", facts=2), Place(0, 0), word)
    told.book.recall(transition(state="fired", facts=3), Place(0, 1), word)
    assert told.book.over({0: 99}) == []
    told.take(transition(state="resolved", facts=4))
    assert told.tell() == ["resolved"]


def test_memory_of_ended_alerts_has_a_limit() -> None:
    book = Book(PEOPLE)
    for number in range(REMEMBERED_ENDED + 10):
        book.recall(transition(f"r{number}", "resolved", 2), Place(0, number), None)
    assert len(book._ended) == REMEMBERED_ENDED
    assert book.alert_ids() == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["at_risk", "fired", "resolved", "retracted"]), st.integers(1, 5), st.booleans()),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, habits=st.sampled_from([EVERY, PEOPLE, MIRROR]), restart=st.integers(0, 12))
def test_whatever_comes_revisions_ascend_and_nothing_is_told_twice(
    steps: list[tuple[State, int, bool]], habits: Habits, restart: int
) -> None:
    told = Told(habits)
    said: list[Transition] = []
    for index, (state, facts, tells) in enumerate(steps):
        if index == restart:
            told = restarted(told, said, habits)
        step = same(state=state, facts=facts)
        said.append(same(state=state, facts=facts))
        told.take(step)
        if tells:
            told.tell()
    told.tell()
    revisions = [notice.transition.revision for notice in told.notices]
    assert revisions == sorted(set(revisions))
    newest = max(said, key=lambda step: step.revision, default=None)
    if newest is not None and newest.state in ("at_risk", "fired"):
        assert told.book.active == 1
        assert habits is MIRROR or told.notices[-1].transition.state in {newest.state, "fired"}
    else:
        assert told.book.active == 0


def restarted(told: Told, said: list[Transition], habits: Habits) -> Told:
    """The same receiver after a crash: nothing was committed, but the log is there."""
    word = told.book.log[-1] if told.book.log else None
    again = Told(habits)
    again.notices = told.notices
    for step in said:
        again.take(same(state=step.state, facts=step.revision // 4), word)
    again.book.log.extend([word] if word is not None else [])
    return again
