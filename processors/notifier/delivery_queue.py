"""The queue of one receiver: pure state, without Kafka, Redis, receivers or a clock.

An alert goes out in the order of its revisions. A revision that is not newer than the last one is a repetition. So is a
newer one with the same content: a worker that was killed before its state was durable sends a transition again, and may
know more of the customer by then (`deduplication`).

A receiver of every transition gets all of them. The others get what is still true at the time of sending: an alert that
was resolved before it could be sent is not sent at all.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from sys import intern
from typing import NamedTuple

from processors.notifier.deduplication import NEVER_SEEN, LastSeen
from processors.notifier.delivery_record import DeliveryRecord, DeliveryResult
from processors.notifier.receivers.base import ACTIVE_STATES, DeliveryPolicy, Notification, RecordPosition
from processors.read_model.acknowledgements import TurnHold, TurnKey, turn_of
from schemas.alerts import State, Transition

MAX_ENDED_REMEMBERED = 100_000
"""Ended alerts whose last transition is kept, to recognize what a crashed worker repeats."""

_INTERNED = ("level", "severity", "rep_id", "team", "channel", "priority", "reason", "state")


class Disposition(StrEnum):
    """What became of a transition; all but `queued` are counted as skipped."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    UNWANTED = "unwanted"
    HELD = "held"


class EndedAlert(NamedTuple):
    """An alert that ended, and the record that ended it."""

    alert_id: str
    position: RecordPosition | None


class _QueuedAlert:
    """One alert as this receiver knows it."""

    __slots__ = ("active", "known_state", "logged", "queue", "seen")

    def __init__(self, seen: LastSeen, record: DeliveryRecord | None) -> None:
        self.seen = seen
        self.known_state: State | None = record.known_state if record is not None else None
        self.logged = record is not None
        self.active: Transition | None = None
        self.queue: list[Notification] = []


class DeliveryQueue:
    """The alerts of one receiver. Only the receiver's own task calls it."""

    def __init__(self, policy: DeliveryPolicy) -> None:
        self.skipped: Counter[Disposition] = Counter()
        """Transitions that are not sent, by reason; `drain_skipped` empties it."""
        self.unlogged: list[DeliveryRecord] = []
        """To be written to the delivery log before offsets are committed; the caller empties it once they are."""
        self._ended_logged: list[EndedAlert] = []
        self._policy = policy
        self._alerts: dict[str, _QueuedAlert] = {}
        self._ended: OrderedDict[str, LastSeen] = OrderedDict()
        self._turns: dict[TurnKey, set[str]] = {}
        self._waiting: OrderedDict[str, _QueuedAlert] = OrderedDict()
        self._uncommitted: dict[int, OrderedDict[int, None]] = {}
        self._holds: Mapping[TurnKey, TurnHold] = {}
        self._on_hold: dict[TurnKey, set[str]] = {}

    # -- transitions in ---------------------------------------------------------------------------

    def add_delivered(self, transition: Transition, position: RecordPosition, record: DeliveryRecord | None) -> None:
        """Add a transition that the receiver is done with; `record` is the alert's last entry of the delivery log.

        Being done does not mean being committed. Until the offset is committed, the log entry alone keeps the
        transition from being sent again. So the end of an alert keeps its position, and `drain_ended` releases the
        entry only once that position is committed.
        """
        alert = self._alert(transition, record)
        if transition.revision <= alert.seen.revision:
            return
        alert.seen = alert.seen.after(transition)
        alert.logged = record is not None and record.revision <= transition.revision
        self._follow(alert, transition)
        if alert.active is None:
            self._end(transition, alert, position)
        elif record is not None and record.result == "held":
            self._on_hold.setdefault(turn_of(transition), set()).add(transition.alert_id)
        elif self._policy.shows_active:
            alert.known_state = transition.state

    def add(
        self, transition: Transition, position: RecordPosition, record: DeliveryRecord | None = None
    ) -> Disposition:
        """Add a transition, in the order of its topic. `record`: the alert's entry of the delivery log, if any."""
        if record is not None and record.revision >= transition.revision:
            self.add_delivered(transition, position, record)
            return Disposition.DUPLICATE
        seen = self._seen(transition.alert_id)
        if seen.covers(transition):
            self._raise_revision(transition, seen)
            return self._skip(Disposition.DUPLICATE)
        alert = self._alert(transition, record)
        alert.seen = alert.seen.after(transition)
        self._follow(alert, transition)
        return self._enqueue(alert, transition, position)

    def _enqueue(self, alert: _QueuedAlert, transition: Transition, position: RecordPosition) -> Disposition:
        turn = turn_of(transition)
        if alert.active is not None and turn in self._holds:
            self._put_on_hold(alert, transition, turn)
            return self._skip(Disposition.HELD)
        if not self._policy.every_transition or transition.alert_id in self._on_hold.get(turn, ()):
            self._clear_queue(transition.alert_id, alert)
            if alert.active is None and alert.known_state is None:
                self._end(transition, alert, position)
                return self._skip(Disposition.SUPERSEDED)
        if transition.state not in self._policy.states:
            if alert.active is None:
                self._end(transition, alert, position)
            return self._skip(Disposition.UNWANTED)
        self._append(alert, Notification(transition=transition, position=position))
        return Disposition.QUEUED

    def _seen(self, alert_id: str) -> LastSeen:
        alert = self._alerts.get(alert_id)
        return alert.seen if alert is not None else self._ended.get(alert_id, NEVER_SEEN)

    def _raise_revision(self, transition: Transition, seen: LastSeen) -> None:
        """A repetition came under a newer revision: whatever has a revision up to that one is old."""
        newest = seen._replace(revision=max(seen.revision, transition.revision))
        alert = self._alerts.get(transition.alert_id)
        if alert is not None:
            alert.seen = newest
        else:
            self._ended[transition.alert_id] = newest

    def _alert(self, transition: Transition, record: DeliveryRecord | None) -> _QueuedAlert:
        alert = self._alerts.get(transition.alert_id)
        if alert is None:
            seen = self._ended.get(transition.alert_id, NEVER_SEEN)
            alert = _QueuedAlert(seen, record)
            if transition.revision > seen.revision:
                self._ended.pop(transition.alert_id, None)
                self._alerts[transition.alert_id] = alert
        return alert

    def _follow(self, alert: _QueuedAlert, transition: Transition) -> None:
        """Note what is active now. Many alerts share their short texts, which are kept once."""
        for name in _INTERNED:
            setattr(transition, name, intern(getattr(transition, name)))
        alert.active = transition if transition.state in ACTIVE_STATES else None
        if alert.active is not None:
            self._turns.setdefault(turn_of(transition), set()).add(transition.alert_id)
        else:
            _discard(self._turns, turn_of(transition), transition.alert_id)

    def _append(self, alert: _QueuedAlert, notification: Notification) -> None:
        alert.queue.append(notification)
        self._waiting[notification.transition.alert_id] = alert
        position = notification.position
        if position is not None:
            self._uncommitted.setdefault(position.partition, OrderedDict())[position.offset] = None

    # -- holds ------------------------------------------------------------------------------------

    def apply_holds(self, holds: Mapping[TurnKey, TurnHold], now_us: int) -> None:
        """Set the turns that somebody takes care of. Their alerts are not sent until the hold ends."""
        for turn in [turn for turn in self._on_hold if turn not in holds]:
            for alert_id in sorted(self._on_hold.pop(turn)):
                self._remind(self._alerts[alert_id], now_us)
        new = [turn for turn in holds if turn not in self._holds and turn in self._turns]
        self._holds = holds
        for turn in new:
            for alert_id in sorted(self._turns[turn]):
                alert = self._alerts[alert_id]
                if alert.active is not None:
                    self._put_on_hold(alert, alert.active, turn)

    def _remind(self, alert: _QueuedAlert, now_us: int) -> None:
        if alert.active is not None and alert.active.state in self._policy.states:
            self._clear_queue(alert.active.alert_id, alert)
            self._append(alert, Notification(transition=alert.active, reminder_us=now_us))

    def _put_on_hold(self, alert: _QueuedAlert, transition: Transition, turn: TurnKey) -> None:
        held = self._on_hold.setdefault(turn, set())
        was_held = transition.alert_id in held
        held.add(transition.alert_id)
        if not was_held:
            self._clear_queue(transition.alert_id, alert, Disposition.HELD)
        self._record(alert, transition, "held")
        if self._policy.shows_active and alert.known_state is not None and not was_held:
            self._append(alert, Notification(transition=transition, hold=self._holds[turn]))

    # -- notifications out ------------------------------------------------------------------------

    def due(self, now: float) -> Iterator[Notification]:
        """The next notification of each alert that may be tried now (monotonic seconds), oldest first."""
        for alert in self._waiting.values():
            if alert.queue[0].not_before <= now:
                yield alert.queue[0]

    def mark_sent(self, notification: Notification) -> None:
        """The receiver accepted it."""
        alert = self._alerts[notification.transition.alert_id]
        alert.known_state = None if notification.hold is not None else notification.transition.state
        self._finish(alert, notification, "sent" if notification.hold is None else "held")

    def mark_rejected(self, notification: Notification) -> None:
        """The receiver will never accept it."""
        alert = self._alerts[notification.transition.alert_id]
        self._finish(alert, notification, "rejected" if notification.hold is None else "held")

    def _finish(self, alert: _QueuedAlert, notification: Notification, result: DeliveryResult) -> None:
        alert.queue.pop(0)
        self._release(notification)
        self._record(alert, notification.transition, result)
        if not alert.queue:
            del self._waiting[notification.transition.alert_id]
            if alert.active is None:
                self._end(notification.transition, alert, notification.position)

    def _record(self, alert: _QueuedAlert, transition: Transition, result: DeliveryResult) -> None:
        alert.logged = True
        self.unlogged.append(DeliveryRecord.of(transition, result, alert.known_state))

    def _clear_queue(self, alert_id: str, alert: _QueuedAlert, why: Disposition = Disposition.SUPERSEDED) -> None:
        for notification in alert.queue:
            self._release(notification)
            self._skip(why)
        alert.queue.clear()
        self._waiting.pop(alert_id, None)

    def _release(self, notification: Notification) -> None:
        """The record of a notification no longer holds back the commit."""
        position = notification.position
        if position is not None:
            del self._uncommitted[position.partition][position.offset]

    def _end(self, transition: Transition, alert: _QueuedAlert, position: RecordPosition | None) -> None:
        """Forget an alert, except for what was seen of it last."""
        del self._alerts[transition.alert_id]
        _discard(self._on_hold, turn_of(transition), transition.alert_id)
        if alert.logged:
            self._ended_logged.append(EndedAlert(transition.alert_id, position))
        self._ended[transition.alert_id] = alert.seen
        while len(self._ended) > MAX_ENDED_REMEMBERED:
            self._ended.popitem(last=False)

    def _skip(self, disposition: Disposition) -> Disposition:
        self.skipped[disposition] += 1
        return disposition

    def drain_skipped(self) -> Counter[Disposition]:
        """How many transitions were not sent since the last call, by reason."""
        skipped, self.skipped = self.skipped, Counter()
        return skipped

    def drain_ended(self, committed: Mapping[int, int]) -> list[str]:
        """Alerts whose end lies before the committed offset of its partition, each once: their log entries can go."""
        ended, self._ended_logged = self._ended_logged, []
        removable = []
        for one in ended:
            if one.position is not None and one.position.offset >= committed.get(one.position.partition, 0):
                self._ended_logged.append(one)
            elif one.alert_id not in self._alerts:
                removable.append(one.alert_id)
        return removable

    # -- state ------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many transitions of the topic were read and are not delivered."""
        return sum(map(len, self._uncommitted.values()))

    @property
    def active(self) -> int:
        """How many alerts are active."""
        return sum(map(len, self._turns.values()))

    def first_waiting(self, partition: int) -> int | None:
        """The offset of a partition's first transition that is not delivered; None: all are."""
        return next(iter(self._uncommitted.get(partition, ())), None)

    def alert_ids(self) -> list[str]:
        """All alerts that have not ended."""
        return list(self._alerts)

    def shown(self, alert_ids: Iterable[str]) -> list[Transition]:
        """Of these, what a receiver with `shows_active` shows: active alerts that it was sent and nobody holds."""
        shown = []
        for alert in filter(None, map(self._alerts.get, alert_ids)):
            transition = alert.active
            if (
                transition is not None
                and alert.known_state in ACTIVE_STATES
                and turn_of(transition) not in self._on_hold
            ):
                shown.append(transition)
        return shown


def _discard(sets: dict[TurnKey, set[str]], turn: TurnKey, alert_id: str) -> None:
    members = sets.get(turn)
    if members is not None:
        members.discard(alert_id)
        if not members:
            del sets[turn]
