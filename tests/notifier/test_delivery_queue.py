"""What one receiver is sent: in order, once, still true, and not while somebody takes care of it."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.core.time.instants import HOUR_US
from processors.notifier.delivery_queue import MAX_ENDED_REMEMBERED, DeliveryQueue
from processors.notifier.delivery_record import DeliveryRecord
from processors.notifier.receivers.base import DeliveryPolicy, Notification, RecordPosition
from processors.read_model.acknowledgements import TurnHold, TurnKey
from schemas.alerts import State, Transition
from tests.notifier.world import transition

EVERY, PEOPLE, SHOWS_ACTIVE = DeliveryPolicy(every_transition=True), DeliveryPolicy(), DeliveryPolicy(shows_active=True)
TURN = TurnKey("c1", "r1", 1)
HOLD = {TURN: TurnHold(by="bob", at_us=1)}


OPENED_US = 1_767_571_200_000_000


def same(request: str = "r1", state: State = "fired", facts: int = 1, **more: Any) -> Transition:
    """A step of an alert that is about one and the same deadline each time."""
    return transition(request, state, facts, **{"opened_us": OPENED_US, **more})


class QueueAndReceiver:
    """A queue with a receiver that accepts everything at once."""

    def __init__(self, policy: DeliveryPolicy) -> None:
        self.queue = DeliveryQueue(policy)
        self.offset = 0
        self.notifications: list[Notification] = []

    def add(self, step: Transition, record: DeliveryRecord | None = None) -> str:
        """Add a transition from the topic."""
        disposition = self.queue.add(step, RecordPosition(0, self.offset), record)
        self.offset += 1
        return disposition

    def send(self) -> list[State]:
        """Send everything that is due; returns the states that were sent."""
        sent = []
        while due := list(self.queue.due(0.0)):
            for notification in due:
                self.queue.mark_sent(notification)
                sent.append(notification)
        self.notifications += sent
        return [notification.transition.state for notification in sent]


def test_a_repetition_and_an_older_revision_are_not_sent() -> None:
    alerts = QueueAndReceiver(EVERY)
    alerts.add(transition(state="fired", facts=1))
    assert alerts.send() == ["fired"]
    assert alerts.add(transition(state="fired", facts=1)) == "duplicate"
    assert alerts.add(transition(state="at_risk", facts=1)) == "duplicate"
    assert alerts.send() == []
    assert alerts.queue.skipped == {"duplicate": 2}


def test_a_repetition_after_the_end_is_known_again() -> None:
    alerts = QueueAndReceiver(EVERY)
    alerts.add(transition(state="fired", facts=1))
    alerts.add(transition(state="resolved", facts=2))
    assert alerts.send() == ["fired", "resolved"]
    assert alerts.add(transition(state="fired", facts=1)) == "duplicate"
    assert alerts.add(transition(state="fired", facts=3)) == "queued"


def test_what_a_killed_worker_sends_again_knowing_more_is_a_repetition() -> None:
    """Its facts grew meanwhile, so that its revisions are newer; their content is not."""
    alerts = QueueAndReceiver(EVERY)
    for state in ("at_risk", "fired", "resolved"):
        alerts.add(same(state=state, facts=2 if state == "resolved" else 1))
    assert alerts.send() == ["at_risk", "fired", "resolved"]
    again = same(state="fired", facts=3)
    again.reason = "ended_overdue"
    assert alerts.add(again) == "duplicate"
    assert alerts.add(same(state="resolved", facts=3)) == "duplicate"
    assert alerts.queue.active == 0


def test_a_warning_after_the_breach_it_led_to_is_a_repetition() -> None:
    alerts = QueueAndReceiver(EVERY)
    alerts.add(same(state="at_risk"))
    alerts.add(same(state="fired"))
    assert alerts.add(same(state="at_risk", facts=2)) == "duplicate"
    assert alerts.add(same(state="fired", facts=2)) == "duplicate"
    assert alerts.send() == ["at_risk", "fired"]
    assert alerts.add(same(state="resolved", facts=2)) == "queued"


def test_a_breach_after_its_end_is_news_when_the_turn_is_open_again() -> None:
    alerts = QueueAndReceiver(PEOPLE)
    alerts.add(same(state="fired"))
    alerts.send()
    alerts.add(same(state="resolved", facts=2))
    alerts.add(same(state="fired", facts=3))
    assert alerts.send() == ["fired"]
    assert alerts.queue.active == 1


def test_the_same_breach_of_another_owner_or_at_another_instant_is_news() -> None:
    alerts = QueueAndReceiver(EVERY)
    alerts.add(same(state="fired"))
    alerts.add(same(state="fired", facts=2, rep_id="bob"))
    alerts.add(same(state="fired", facts=3, rep_id="bob", opened_us=OPENED_US + 1))
    assert alerts.send() == ["fired"] * 3


def test_after_a_restart_of_both_a_repetition_is_known() -> None:
    """The notifier reads its topic from the beginning: what it is done with, it knows from there."""
    alerts = QueueAndReceiver(EVERY)
    alerts.queue.add_delivered(same(state="fired"), RecordPosition(0, 0), None)
    alerts.queue.add_delivered(same(state="resolved", facts=2), RecordPosition(0, 1), None)
    assert alerts.add(same(state="resolved", facts=3)) == "duplicate"
    assert alerts.send() == []


def test_a_breach_after_a_warning_that_was_answered_in_time_is_news() -> None:
    """The answer is retracted and a late one comes, both in one batch: nobody got the breach before."""
    for restart in (False, True):
        alerts = QueueAndReceiver(EVERY)
        steps = [same(state="at_risk"), same(state="resolved", facts=2, at_us=OPENED_US + HOUR_US - 1)]
        for step in steps:
            alerts.add(step)
        assert alerts.send() == ["at_risk", "resolved"]
        if restart:
            alerts = QueueAndReceiver(EVERY)
            for offset, step in enumerate(steps):
                alerts.queue.add_delivered(step, RecordPosition(0, offset), None)
        alerts.add(same(state="fired", facts=4, reason="ended_overdue"))
        alerts.add(same(state="resolved", facts=4, at_us=OPENED_US + HOUR_US + 1))
        assert alerts.send() == ["fired", "resolved"]


def test_a_breach_whose_record_is_compacted_away_is_a_repetition() -> None:
    """The topic keeps the newest record of an alert: its end, whose instant shows that there was a breach."""
    alerts = QueueAndReceiver(EVERY)
    alerts.queue.add_delivered(
        same(state="resolved", facts=2, at_us=OPENED_US + HOUR_US + 1), RecordPosition(0, 0), None
    )
    assert alerts.add(same(state="fired", facts=3, reason="ended_overdue")) == "duplicate"
    assert alerts.add(same(state="resolved", facts=3, at_us=OPENED_US + HOUR_US + 1)) == "duplicate"


def test_the_record_of_an_end_stays_until_its_offset_is_committed() -> None:
    """Whoever reads everything again before that finds what was sent, and sends nothing twice."""
    steps = [transition(state="fired"), transition(state="resolved", facts=2)]
    first = QueueAndReceiver(EVERY)
    for step in steps:
        first.add(step)
    assert first.send() == ["fired", "resolved"]
    record = first.queue.unlogged[-1]
    for _ in range(3):
        again = QueueAndReceiver(EVERY)
        for step in steps:
            again.add(step, record)
        assert again.send() == []
        assert again.queue.drain_ended({0: 1}) == []
    assert again.queue.drain_ended({0: 2}) == [record.alert_id]


def test_a_receiver_of_every_transition_gets_also_what_is_over() -> None:
    alerts = QueueAndReceiver(EVERY)
    alerts.add(transition(state="at_risk"))
    alerts.add(transition(state="fired"))
    alerts.add(transition(state="resolved", facts=2))
    assert alerts.send() == ["at_risk", "fired", "resolved"]


def test_people_get_what_is_still_true() -> None:
    alerts = QueueAndReceiver(PEOPLE)
    alerts.add(transition("r1", "at_risk"))
    alerts.add(transition("r1", "fired"))
    alerts.add(transition("r2", "fired"))
    assert alerts.add(transition("r2", "resolved", 2)) == "superseded"
    assert alerts.send() == ["fired"]
    assert alerts.queue.first_waiting(0) is None


def test_people_who_got_an_alert_hear_of_its_end() -> None:
    alerts = QueueAndReceiver(PEOPLE)
    alerts.add(transition(state="fired"))
    alerts.send()
    alerts.add(transition(state="resolved", facts=2))
    assert alerts.send() == ["resolved"]


def test_states_that_people_do_not_want_are_left_out() -> None:
    alerts = QueueAndReceiver(DeliveryPolicy(states=frozenset({"fired"})))
    assert alerts.add(transition(state="at_risk")) == "unwanted"
    alerts.add(transition(state="fired"))
    assert alerts.send() == ["fired"]
    assert alerts.add(transition(state="resolved", facts=2)) == "unwanted"
    assert alerts.send() == []
    assert alerts.queue.active == 0


def test_the_first_position_that_waits_holds_back_the_commit() -> None:
    alerts = QueueAndReceiver(EVERY)
    alerts.add(transition("r1"))
    alerts.add(transition("r2"))
    alerts.add(transition("r3"))
    first, second, third = alerts.queue.due(0.0)
    alerts.queue.mark_sent(second)
    assert alerts.queue.first_waiting(0) == 0
    alerts.queue.mark_sent(first)
    assert alerts.queue.first_waiting(0) == 2
    alerts.queue.mark_rejected(third)
    assert alerts.queue.first_waiting(0) is None
    assert alerts.queue.waiting == 0


def test_what_is_put_off_waits_alone() -> None:
    alerts = QueueAndReceiver(EVERY)
    alerts.add(transition("r1"))
    alerts.add(transition("r2"))
    next(alerts.queue.due(0.0)).not_before = 9.0
    assert [notification.transition.request_id for notification in alerts.queue.due(8.0)] == ["r2"]
    assert [notification.transition.request_id for notification in alerts.queue.due(9.0)] == ["r1", "r2"]


def test_what_somebody_takes_care_of_is_not_sent_until_it_is_released() -> None:
    alerts = QueueAndReceiver(PEOPLE)
    alerts.queue.apply_holds(HOLD, 5)
    assert alerts.add(transition(state="at_risk")) == "held"
    assert alerts.add(transition(state="fired")) == "held"
    assert alerts.send() == []
    assert alerts.queue.first_waiting(0) is None
    assert [(record.result, record.known_state) for record in alerts.queue.unlogged] == [("held", None)] * 2
    alerts.queue.apply_holds({}, 7)
    assert alerts.send() == ["fired"]
    assert alerts.notifications[0].key.endswith("@5+7")


def test_an_alert_that_was_sent_is_sent_again_after_its_snooze() -> None:
    alerts = QueueAndReceiver(PEOPLE)
    alerts.add(transition(state="fired"))
    alerts.send()
    alerts.queue.apply_holds(HOLD, 5)
    assert alerts.send() == []
    alerts.queue.apply_holds({}, 9)
    assert alerts.send() == ["fired"]
    alerts.queue.apply_holds({}, 10)
    assert alerts.send() == []


def test_the_end_of_a_held_alert_is_sent_only_to_those_who_knew_it() -> None:
    for known in (True, False):
        alerts = QueueAndReceiver(EVERY)
        alerts.add(transition(state="at_risk"))
        if known:
            alerts.send()
        alerts.queue.apply_holds(HOLD, 5)
        alerts.add(transition(state="fired"))
        alerts.add(transition(state="resolved", facts=2))
        assert alerts.send() == (["resolved"] if known else [])
        alerts.queue.apply_holds({}, 9)
        assert alerts.send() == []


def test_a_receiver_that_shows_alerts_removes_what_is_held_and_shows_it_again() -> None:
    alerts = QueueAndReceiver(SHOWS_ACTIVE)
    alerts.add(transition(state="fired"))
    alerts.send()
    assert len(alerts.queue.shown(alerts.queue.alert_ids())) == 1
    alerts.queue.apply_holds(HOLD, 5)
    alerts.send()
    assert alerts.notifications[-1].hold == HOLD[TURN]
    assert alerts.queue.shown(alerts.queue.alert_ids()) == []
    alerts.queue.apply_holds({}, 9)
    alerts.send()
    assert alerts.notifications[-1].hold is None
    assert len(alerts.queue.shown(alerts.queue.alert_ids())) == 1


def test_after_a_restart_only_what_the_log_does_not_know_is_sent() -> None:
    before = QueueAndReceiver(PEOPLE)
    before.add(transition("r1", "fired"))
    before.add(transition("r2", "fired"))
    before.queue.mark_sent(next(before.queue.due(0.0)))
    records = {record.alert_id: record for record in before.queue.unlogged}
    after = QueueAndReceiver(PEOPLE)
    for request in ("r1", "r2"):
        step = transition(request, "fired")
        after.add(step, records.get(step.alert_id))
    assert [notification.transition.request_id for notification in after.queue.due(0.0)] == ["r2"]
    after.add(transition("r1", "resolved", 2))
    after.send()
    assert [notification.transition.state for notification in after.notifications] == ["fired", "resolved"]


def test_after_a_restart_what_was_held_is_sent_when_the_hold_has_ended() -> None:
    before = QueueAndReceiver(PEOPLE)
    before.queue.apply_holds(HOLD, 5)
    before.add(transition(state="fired"))
    (record,) = before.queue.unlogged
    for hold, wanted in ((HOLD, []), ({}, ["fired"])):
        after = QueueAndReceiver(PEOPLE)
        after.queue.add_delivered(transition(state="fired"), RecordPosition(0, 0), record)
        after.queue.apply_holds(hold, 9)
        assert after.send() == wanted


def test_log_entries_go_when_the_end_is_committed_and_stay_for_an_alert_that_fired_again() -> None:
    alerts = QueueAndReceiver(EVERY)
    for request in ("r1", "r2"):
        alerts.add(transition(request, "fired"))
        alerts.add(transition(request, "retracted", 2))
    alerts.send()
    alerts.add(transition("r2", "fired", 3))
    assert alerts.queue.drain_ended({0: 1}) == []
    assert alerts.queue.drain_ended({0: 4}) == ["c1/r1/1/1h"]
    assert alerts.queue.drain_ended({0: 9}) == []


def test_adding_a_delivered_end_does_not_forget_the_log_entry_of_what_followed() -> None:
    alerts = QueueAndReceiver(PEOPLE)
    record = DeliveryRecord(alert_id="c1/r1/1/1h", revision=13, result="sent", known_state="fired")
    alerts.queue.add_delivered(transition(state="retracted", facts=2), RecordPosition(0, 0), record)
    alerts.queue.add_delivered(transition(state="fired", facts=3), RecordPosition(0, 1), record)
    assert alerts.queue.drain_ended({0: 99}) == []
    alerts.add(transition(state="resolved", facts=4))
    assert alerts.send() == ["resolved"]


def test_memory_of_ended_alerts_has_a_limit() -> None:
    queue = DeliveryQueue(PEOPLE)
    for number in range(MAX_ENDED_REMEMBERED + 10):
        queue.add_delivered(transition(f"r{number}", "resolved", 2), RecordPosition(0, number), None)
    assert len(queue._ended) == MAX_ENDED_REMEMBERED
    assert queue.alert_ids() == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["at_risk", "fired", "resolved", "retracted"]), st.integers(1, 5), st.booleans()),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, policy=st.sampled_from([EVERY, PEOPLE, SHOWS_ACTIVE]), restart=st.integers(0, 12))
def test_whatever_comes_revisions_ascend_and_nothing_is_sent_twice(
    steps: list[tuple[State, int, bool]], policy: DeliveryPolicy, restart: int
) -> None:
    alerts = QueueAndReceiver(policy)
    steps_seen: list[Transition] = []
    for index, (state, facts, sends) in enumerate(steps):
        if index == restart:
            alerts = restarted(alerts, steps_seen, policy)
        step = same(state=state, facts=facts)
        steps_seen.append(same(state=state, facts=facts))
        alerts.add(step)
        if sends:
            alerts.send()
    alerts.send()
    revisions = [notification.transition.revision for notification in alerts.notifications]
    assert revisions == sorted(set(revisions))
    newest = max(steps_seen, key=lambda step: step.revision, default=None)
    if newest is not None and newest.state in ("at_risk", "fired"):
        assert alerts.queue.active == 1
        assert policy is SHOWS_ACTIVE or alerts.notifications[-1].transition.state in {newest.state, "fired"}
    else:
        assert alerts.queue.active == 0


def restarted(alerts: QueueAndReceiver, steps_seen: list[Transition], policy: DeliveryPolicy) -> QueueAndReceiver:
    """The same receiver after a crash: nothing was committed, but the log is there."""
    record = alerts.queue.unlogged[-1] if alerts.queue.unlogged else None
    again = QueueAndReceiver(policy)
    again.notifications = alerts.notifications
    for step in steps_seen:
        again.add(same(state=step.state, facts=step.revision // 4), record)
    again.queue.unlogged.extend([record] if record is not None else [])
    return again
