"""What one receiver knows and has yet to be told: pure bookkeeping, without Kafka, Redis, receivers or a clock.

Each alert is told in the order of its revisions; a revision that is not newer than one seen is a repetition. So is one
that says the same as the last, or only what led to it: a worker that was killed before its state was durable says it
again, and may know more of the customer by then, hence a newer revision. A receiver of every transition gets all of
them; the others get what is still true when they can be told: an alert that was resolved before anybody heard of it is
no news.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from sys import intern
from typing import NamedTuple

from processors.notifier.deduplication import UNSEEN, Seen
from processors.notifier.notifications import ACTIVE, Habits, Notice, Place, Result, Word
from processors.read_model.acknowledgements import Hold, TurnKey, turn_of
from schemas.alerts import State, Transition

REMEMBERED_ENDED = 100_000
"""So many ended alerts are remembered, to know their transitions again when a crashed worker repeats them."""

_INTERNED = ("level", "severity", "rep_id", "team", "channel", "priority", "reason", "state")


class Taken(StrEnum):
    """What became of a transition."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"
    SUPERSEDED = "superseded"
    UNWANTED = "unwanted"
    HELD = "held"


class Over(NamedTuple):
    """An alert that ended, and where."""

    alert_id: str
    place: Place | None


class _Alert:
    """One alert, as far as this receiver is concerned."""

    __slots__ = ("active", "logged", "queue", "seen", "told")

    def __init__(self, seen: Seen, word: Word | None) -> None:
        self.seen = seen
        self.told: State | None = word.told if word is not None else None
        self.logged = word is not None
        self.active: Transition | None = None
        self.queue: list[Notice] = []


class Book:
    """The alerts of one receiver. Only its own task calls it."""

    def __init__(self, habits: Habits) -> None:
        self.skipped: dict[str, int] = {}
        """What was not told, by reason; the caller may empty it."""
        self.log: list[Word] = []
        """What is to be recorded before the places it came from are committed; the caller empties it."""
        self._over: list[Over] = []
        self._habits = habits
        self._alerts: dict[str, _Alert] = {}
        self._ended: OrderedDict[str, Seen] = OrderedDict()
        self._turns: dict[TurnKey, set[str]] = {}
        self._waiting: OrderedDict[str, _Alert] = OrderedDict()
        self._places: dict[int, OrderedDict[int, None]] = {}
        self._holds: Mapping[TurnKey, Hold] = {}
        self._on_hold: dict[TurnKey, set[str]] = {}

    # -- transitions in ---------------------------------------------------------------------------

    def recall(self, transition: Transition, place: Place, word: Word | None) -> None:
        """A transition that this receiver is done with; `word` is what was recorded of the alert last.

        Done with is not committed: its offset may not be, and until then the record is all that keeps it from being
        sent again. So an end keeps its place, and the record stays until that place is committed.
        """
        alert = self._alert(transition, word)
        if transition.revision <= alert.seen.revision:
            return
        alert.seen = alert.seen.after(transition)
        alert.logged = word is not None and word.revision <= transition.revision
        self._follow(alert, transition)
        if alert.active is None:
            self._end(transition, alert, place)
        elif word is not None and word.result == "held":
            self._on_hold.setdefault(turn_of(transition), set()).add(transition.alert_id)
        elif self._habits.mirrors:
            alert.told = transition.state

    def take(self, transition: Transition, place: Place, word: Word | None = None) -> Taken:
        """A transition in the order of its topic. `word`: what was recorded of the alert, when it is met first."""
        if word is not None and word.revision >= transition.revision:
            self.recall(transition, place, word)
            return Taken.DUPLICATE
        seen = self._seen(transition.alert_id)
        if seen.covers(transition):
            self._repeated(transition, seen)
            return self._skip(Taken.DUPLICATE)
        alert = self._alert(transition, word)
        alert.seen = alert.seen.after(transition)
        self._follow(alert, transition)
        return self._enqueue(alert, transition, place)

    def _enqueue(self, alert: _Alert, transition: Transition, place: Place) -> Taken:
        turn = turn_of(transition)
        if alert.active is not None and turn in self._holds:
            self._put_on_hold(alert, transition, turn)
            return self._skip(Taken.HELD)
        if not self._habits.every or transition.alert_id in self._on_hold.get(turn, ()):
            self._drop_queue(transition.alert_id, alert)
            if alert.active is None and alert.told is None:
                self._end(transition, alert, place)
                return self._skip(Taken.SUPERSEDED)
        if transition.state not in self._habits.tell:
            if alert.active is None:
                self._end(transition, alert, place)
            return self._skip(Taken.UNWANTED)
        self._append(alert, Notice(transition=transition, place=place))
        return Taken.QUEUED

    def _seen(self, alert_id: str) -> Seen:
        alert = self._alerts.get(alert_id)
        return alert.seen if alert is not None else self._ended.get(alert_id, UNSEEN)

    def _repeated(self, transition: Transition, seen: Seen) -> None:
        """What was known before this repetition is older than it."""
        newest = seen._replace(revision=max(seen.revision, transition.revision))
        alert = self._alerts.get(transition.alert_id)
        if alert is not None:
            alert.seen = newest
        else:
            self._ended[transition.alert_id] = newest

    def _alert(self, transition: Transition, word: Word | None) -> _Alert:
        alert = self._alerts.get(transition.alert_id)
        if alert is None:
            seen = self._ended.get(transition.alert_id, UNSEEN)
            alert = _Alert(seen, word)
            if transition.revision > seen.revision:
                self._ended.pop(transition.alert_id, None)
                self._alerts[transition.alert_id] = alert
        return alert

    def _follow(self, alert: _Alert, transition: Transition) -> None:
        """Note what is active now; many alerts share their words, which are kept once."""
        for name in _INTERNED:
            setattr(transition, name, intern(getattr(transition, name)))
        alert.active = transition if transition.state in ACTIVE else None
        if alert.active is not None:
            self._turns.setdefault(turn_of(transition), set()).add(transition.alert_id)
        else:
            _discard(self._turns, turn_of(transition), transition.alert_id)

    def _append(self, alert: _Alert, notice: Notice) -> None:
        alert.queue.append(notice)
        self._waiting[notice.transition.alert_id] = alert
        if notice.place is not None:
            self._places.setdefault(notice.place.partition, OrderedDict())[notice.place.offset] = None

    # -- holds ------------------------------------------------------------------------------------

    def hold(self, holds: Mapping[TurnKey, Hold], now_us: int) -> None:
        """The turns that somebody takes care of now: their alerts are not told until they are let go."""
        for turn in [turn for turn in self._on_hold if turn not in holds]:
            for alert_id in sorted(self._on_hold.pop(turn)):
                self._tell_again(self._alerts[alert_id], now_us)
        new = [turn for turn in holds if turn not in self._holds and turn in self._turns]
        self._holds = holds
        for turn in new:
            for alert_id in sorted(self._turns[turn]):
                alert = self._alerts[alert_id]
                if alert.active is not None:
                    self._put_on_hold(alert, alert.active, turn)

    def _tell_again(self, alert: _Alert, now_us: int) -> None:
        if alert.active is not None and alert.active.state in self._habits.tell:
            self._drop_queue(alert.active.alert_id, alert)
            self._append(alert, Notice(transition=alert.active, again_us=now_us))

    def _put_on_hold(self, alert: _Alert, transition: Transition, turn: TurnKey) -> None:
        held = self._on_hold.setdefault(turn, set())
        known = transition.alert_id in held
        held.add(transition.alert_id)
        if not known:
            self._drop_queue(transition.alert_id, alert, Taken.HELD)
        self._record(alert, transition, "held")
        if self._habits.mirrors and alert.told is not None and not known:
            self._append(alert, Notice(transition=transition, hold=self._holds[turn]))

    # -- notices out ------------------------------------------------------------------------------

    def due(self, now: float) -> Iterator[Notice]:
        """The next notice of each alert that may be tried at this instant (monotonic seconds), oldest first."""
        for alert in self._waiting.values():
            if alert.queue[0].not_before <= now:
                yield alert.queue[0]

    def sent(self, notice: Notice) -> None:
        """The receiver has it."""
        alert = self._alerts[notice.transition.alert_id]
        alert.told = None if notice.hold is not None else notice.transition.state
        self._done(alert, notice, "sent" if notice.hold is None else "held")

    def rejected(self, notice: Notice) -> None:
        """The receiver will never take it."""
        alert = self._alerts[notice.transition.alert_id]
        self._done(alert, notice, "rejected" if notice.hold is None else "held")

    def _done(self, alert: _Alert, notice: Notice, result: Result) -> None:
        alert.queue.pop(0)
        self._leave(notice)
        self._record(alert, notice.transition, result)
        if not alert.queue:
            del self._waiting[notice.transition.alert_id]
            if alert.active is None:
                self._end(notice.transition, alert, notice.place)

    def _record(self, alert: _Alert, transition: Transition, result: Result) -> None:
        alert.logged = True
        self.log.append(Word.of(transition, result, alert.told))

    def _drop_queue(self, alert_id: str, alert: _Alert, why: Taken = Taken.SUPERSEDED) -> None:
        for notice in alert.queue:
            self._leave(notice)
            self._skip(why)
        alert.queue.clear()
        self._waiting.pop(alert_id, None)

    def _leave(self, notice: Notice) -> None:
        if notice.place is not None:
            del self._places[notice.place.partition][notice.place.offset]

    def _end(self, transition: Transition, alert: _Alert, place: Place | None) -> None:
        """Forget an alert but for its revision."""
        del self._alerts[transition.alert_id]
        _discard(self._on_hold, turn_of(transition), transition.alert_id)
        if alert.logged:
            self._over.append(Over(transition.alert_id, place))
        self._ended[transition.alert_id] = alert.seen
        while len(self._ended) > REMEMBERED_ENDED:
            self._ended.popitem(last=False)

    def _skip(self, taken: Taken) -> Taken:
        self.skipped[taken] = self.skipped.get(taken, 0) + 1
        return taken

    def over(self, committed: Mapping[int, int]) -> list[str]:
        """Alerts that ended before the committed offset of their partition, once each: their words can go."""
        over, self._over = self._over, []
        gone = []
        for one in over:
            if one.place is not None and one.place.offset >= committed.get(one.place.partition, 0):
                self._over.append(one)
            elif one.alert_id not in self._alerts:
                gone.append(one.alert_id)
        return gone

    # -- how it stands ----------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many transitions of the topic have been read and not told."""
        return sum(map(len, self._places.values()))

    @property
    def active(self) -> int:
        """How many alerts are active."""
        return sum(map(len, self._turns.values()))

    def first_waiting(self, partition: int) -> int | None:
        """The offset of the first transition of a partition that is not told; None: all are."""
        return next(iter(self._places.get(partition, ())), None)

    def alert_ids(self) -> list[str]:
        """All alerts that have not ended."""
        return list(self._alerts)

    def shown(self, alert_ids: Iterable[str]) -> list[Transition]:
        """Of these, what a mirror shows: active alerts that it was told of, and that nobody holds."""
        shown = []
        for alert in filter(None, map(self._alerts.get, alert_ids)):
            transition = alert.active
            if transition is not None and alert.told in ACTIVE and turn_of(transition) not in self._on_hold:
                shown.append(transition)
        return shown


def _discard(sets: dict[TurnKey, set[str]], turn: TurnKey, alert_id: str) -> None:
    members = sets.get(turn)
    if members is not None:
        members.discard(alert_id)
        if not members:
            del sets[turn]
