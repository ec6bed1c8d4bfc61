"""The log of alert transitions: what was last sent about each level of each turn, and what to send next (S14 to S18).

An alert goes from nothing to `at_risk` or `fired`, and ends `resolved` or `retracted`. Two things may move it: time (an
open turn passes a step) and facts (a turn ends, or turns out to have been another one). Every transition is compared
with the last one of its level, which is kept at the request, so that folding a request again sends nothing twice.

A revision is made of the customer's newest fact (in milliseconds; after a restart, the instant of that), the number of
its facts, and the state: so it grows with what is known, and stays ahead when facts are forgotten. Between two facts of
a customer there is room for a thousand transitions, as when a team changes to and fro: those are not remembered across
a restart, and the next fact has to be ahead of all of them.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from mypy_extensions import mypyc_attr

from processors.core.folds.turn_deadlines import DeadlineStep, TurnDeadlines
from processors.core.state.customers import Customer
from processors.core.state.deadlines import Due
from processors.core.state.partition_clock import PartitionClock
from processors.core.state.requests import Request, Turn
from schemas.alerts import State, Transition, alert_id_of

MILLISECOND_US: Final = 1000
REVISIONS_PER_FACT: Final = 1024
"""Each version of what is known has this many revisions: those of today stay below 2^53, where JSON's numbers end."""
ACTIVE: Final = ("at_risk", "fired")
RESTORED: Final = "restored"
"""The reason of an active alert that was history already when the facts were restored: it may never have been sent."""
REVISIONS: Final[dict[State, int]] = {"at_risk": 0, "fired": 1, "resolved": 2, "retracted": 3}


@mypyc_attr(acyclic=True)
class TransitionDraft:
    """What is to be sent of one level of a turn, if it is news."""

    __slots__ = ("at_us", "due_us", "level", "reason", "state")

    def __init__(self, level: str, due_us: int, state: State, at_us: int, reason: str) -> None:
        self.level = level
        self.due_us = due_us
        self.state = state
        self.at_us = at_us
        self.reason = reason


class Alerts:
    """Makes each transition once. The last one of each level is kept at the request (`Request.alerts`)."""

    def __init__(self, deadlines: TurnDeadlines, clock: PartitionClock) -> None:
        self._deadlines = deadlines
        self._clock = clock
        self._transitions: list[Transition] = []
        self._resumed_us = 0
        """When the facts were restored, no fact was newer: later revisions are ahead of all that were sent before."""

    def step_passed(self, customer: Customer, request: Request, turn: Turn, step: DeadlineStep) -> None:
        """An open turn went past one of its instants."""
        if step.is_due:
            self._send(
                customer, request, turn, TransitionDraft(step.level, step.due_us, "fired", step.at_us, "overdue")
            )
        elif self._warns(step, _last(request, turn, step.level)):
            draft = TransitionDraft(step.level, step.due_us, "at_risk", step.at_us, "at_risk")
            self._send(customer, request, turn, draft)

    def _warns(self, step: DeadlineStep, last: Transition | None) -> bool:
        """Whether a step is worth a warning after the last transition: a new owner is warned, too, but not too late."""
        if last is None or last.state == "retracted":
            return True
        return last.state != "fired" and step.due_us >= self._clock.now_us

    def turn_ended(self, customer: Customer, request: Request, turn: Turn, due: Due) -> None:
        """A turn ended: past a deadline its alert fired and resolves; before it, the alert is retracted (S17)."""
        for level, due_us, _ in due:
            last = _last(request, turn, level)
            if last is None or self._is_unfinished(last):
                for draft in _drafts_at_end(turn, level, due_us, last):
                    self._send(customer, request, turn, draft)

    def retract_untrue(self, customer: Customer, request: Request, ended: list[Turn]) -> None:
        """After a walk: retract the alerts of turns that are no more, or are not due any more."""
        if request.alerts is None:
            return
        turns = {turn.number: turn for turn in (*ended, request.turn) if turn is not None}
        for (number, level), last in list(request.alerts.items()):
            turn = turns.get(number)
            untrue = turn is None or not self._holds(turn, last)
            if untrue and last.state != "retracted" and self._is_unfinished(last):
                self._record(customer, request, (number, level), _retraction(last, self._clock.now_us))

    def _holds(self, turn: Turn, last: Transition) -> bool:
        """Whether a turn still has the level of a transition, and if it is open, is past what was sent."""
        for level, due_us, at_risk_us in self._deadlines.due(turn):
            if level == last.level:
                since_us = due_us if last.state == "fired" or at_risk_us is None else at_risk_us
                # An ended turn is judged by `turn_ended`, which knows whether it ended in time.
                return turn.ending is not None or since_us < self._clock.now_us
        return False

    def adopt(self, request: Request, former: Transition) -> bool:
        """Take over the last transition of a former owner; whether the request's turns have to bear it out.

        A later transition of this owner stands. An earlier one is sent again if it differs.
        """
        key = (former.turn, former.level)
        known = request.alerts.get(key) if request.alerts is not None else None
        if known is None:
            if former.state not in ACTIVE:
                return False
            if request.alerts is None:
                request.alerts = {}
            request.alerts[key] = former
            return True
        if known.revision <= former.revision:
            if known.state == former.state and known.due_us == former.due_us:
                # The same transition: only later ones have to be ahead of the former owner's revision.
                known.revision = former.revision
            else:
                self._keep(request, key, msgspec.structs.replace(known, revision=former.revision + 1))
        return False

    def disown(self, former: Transition) -> None:
        """Retract a former owner's alert of a request of which nothing is known."""
        if former.state in ACTIVE:
            retraction = _retraction(former, self._clock.now_us)
            self._transitions.append(msgspec.structs.replace(retraction, revision=former.revision + 1))

    def passed_deadlines(self, customer: Customer, copy: Request, as_of_us: int) -> Iterator[Transition]:
        """The final transition of each passed deadline of a request, whatever was sent before; `copy` is walked."""
        for turn in copy.walk(customer.unlinked):
            for level, due_us, _ in self._deadlines.due(turn):
                if turn.end_us > due_us:
                    draft = TransitionDraft(level, due_us, "resolved", turn.end_us, turn.ending or "answered")
                    yield self._transition(customer, copy, turn, draft)
        for level, due_us, _ in self._deadlines.due(copy.turn) if copy.turn is not None else ():
            if copy.turn is not None and as_of_us > due_us:
                draft = TransitionDraft(level, due_us, "fired", due_us, "overdue")
                yield self._transition(customer, copy, copy.turn, draft)

    def resume(self, resumed_us: int, customers: Iterable[Customer]) -> None:
        """After the facts were restored: all that was due counts as sent, and what is history is forgotten (S18).

        `resumed_us`: no restored fact is newer. Of alerts that are active and history, nobody knows whether they were
        sent, or were history when they came: their reason says so (`RESTORED`).
        """
        self._resumed_us = resumed_us
        self._transitions = []
        for customer in customers:
            for request in (customer.requests or {}).values():
                if request.alerts is not None:
                    kept = {key: last for key, last in request.alerts.items() if self._is_unfinished(last)}
                    request.alerts = kept or None
                for last in (request.alerts or {}).values():
                    if self._clock.is_old(last.due_us):
                        last.reason = RESTORED

    def resend(self, customers: Iterable[Customer]) -> None:
        """Send the alerts of open turns once more, unless they are history: some of them may be new (S14)."""
        for customer in customers:
            for request in (customer.open or {}).values():
                for key, last in list((request.alerts or {}).items()):
                    if last.state in ACTIVE and not self._clock.is_history(last.due_us):
                        # Ahead of whatever was sent between these facts and the next, which has to be ahead of this.
                        again = msgspec.structs.replace(last, revision=last.revision + REVISIONS_PER_FACT // 2)
                        self._keep(request, key, again)

    def drain(self) -> list[Transition]:
        """The transitions since the last call."""
        transitions, self._transitions = self._transitions, []
        return transitions

    def is_news(self, due: Due) -> bool:
        """Whether any of these deadlines is recent enough for an alert."""
        return not self._clock.is_history(due[-1][1])

    def _is_unfinished(self, last: Transition) -> bool:
        """Whether more transitions may follow."""
        return last.state in ACTIVE or not self._clock.is_history(last.due_us)

    def _send(self, customer: Customer, request: Request, turn: Turn, draft: TransitionDraft) -> None:
        last = _last(request, turn, draft.level)
        # What was restored as history may never have been sent: its end is sent, but no beginning.
        is_new = last is None or (last.reason == RESTORED and draft.state in ACTIVE)
        # A correction of today is news, however old what it corrects.
        if is_new and self._clock.is_history(max(draft.due_us, customer.corrected_us(request.request_id))):
            return
        owner = turn.owner_at(draft.due_us)
        if last is not None and (last.state, last.due_us, last.rep_id) == (draft.state, draft.due_us, owner):
            return
        self._record(customer, request, (turn.number, draft.level), self._transition(customer, request, turn, draft))

    def _transition(self, customer: Customer, request: Request, turn: Turn, draft: TransitionDraft) -> Transition:
        opener, owner = turn.opener, turn.owner_at(draft.due_us)
        return Transition(
            alert_id=alert_id_of(customer.customer_id, request.request_id, turn.number, draft.level),
            revision=0,
            state=draft.state,
            level=draft.level,
            severity=self._deadlines.severity(turn, draft.level),
            request_id=request.request_id,
            turn=turn.number,
            customer_id=customer.customer_id,
            rep_id=owner,
            team=self._deadlines.team(owner),
            channel=opener.channel,
            priority=opener.priority,
            opened_us=turn.start_us,
            due_us=draft.due_us,
            at_us=draft.at_us,
            reason=draft.reason,
            topic=opener.topic,
        )

    def _record(self, customer: Customer, request: Request, key: tuple[int, str], transition: Transition) -> None:
        last = request.alerts.get(key) if request.alerts is not None else None
        # A fact that is not the newest still adds to the count, and one that is forgotten was not the newest.
        known = max(customer.newest_us, self._resumed_us) // MILLISECOND_US + customer.facts
        transition.revision = max(
            REVISIONS_PER_FACT * known + REVISIONS[transition.state], last.revision + 1 if last is not None else 0
        )
        self._keep(request, key, transition)

    def _keep(self, request: Request, key: tuple[int, str], transition: Transition) -> None:
        if request.alerts is None:
            request.alerts = {}
        request.alerts[key] = transition
        self._transitions.append(transition)


def _drafts_at_end(turn: Turn, level: str, due_us: int, last: Transition | None) -> Iterator[TransitionDraft]:
    """What to send of a level when its turn has ended, after the last transition."""
    ending = turn.ending or "answered"
    state = last.state if last is not None else None
    was_breach = last is not None and (state == "fired" or (state == "resolved" and last.at_us > last.due_us))
    if turn.end_us > due_us:
        if not was_breach:
            # Found only now, with its end: receivers see an alert begin before it ends.
            reason = "corrected" if state == "resolved" else "ended_overdue"
            yield TransitionDraft(level, due_us, "fired", due_us, reason)
        yield TransitionDraft(level, due_us, "resolved", turn.end_us, ending)
    elif state == "at_risk":
        yield TransitionDraft(level, due_us, "resolved", turn.end_us, ending)
    elif was_breach:
        yield TransitionDraft(level, due_us, "retracted", turn.end_us, "answered_in_time")


def _last(request: Request, turn: Turn, level: str) -> Transition | None:
    return request.alerts.get((turn.number, level)) if request.alerts is not None else None


def _retraction(last: Transition, at_us: int) -> Transition:
    return msgspec.structs.replace(last, state="retracted", at_us=at_us, reason="corrected")
