"""What to say about deadlines, and when (S14 to S18): the steps of a turn, and the transitions of its alerts.

A revision is made of the customer's newest fact (in milliseconds; after a restart, the instant of that), the number of
its facts, and the state: so it grows with what is known, and stays ahead when facts are forgotten. Between two facts of
a customer there is room for a thousand sayings, as when a team changes to and fro: those are not remembered across
a restart, and the next fact has to be ahead of all of them.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from mypy_extensions import mypyc_attr

from processors.core.folds.scoreboards import Desks
from processors.core.state.customers import Customer
from processors.core.state.deadlines import Deadlines, Due
from processors.core.state.requests import Request, Turn
from processors.core.time.instants import LONG_AGO_US
from schemas.alerts import State, Transition, alert_id_of

MILLISECOND_US: Final = 1000
NO_CLOCK_US: Final = LONG_AGO_US
"""With no clock, nothing is history."""
ROOM: Final = 1024
"""What is known counts so much: a revision of today stays below 2^53, up to which JSON's numbers are exact."""
ACTIVE: Final = ("at_risk", "fired")
RESTORED: Final = "restored"
REVISIONS: Final[dict[State, int]] = {"at_risk": 0, "fired": 1, "resolved": 2, "retracted": 3}


@mypyc_attr(acyclic=True)
class Step:
    """An instant at which something becomes true of a turn that is still open after it."""

    __slots__ = ("at_us", "due_us", "level")

    def __init__(self, at_us: int, level: str, due_us: int) -> None:
        self.at_us = at_us
        self.level = level
        self.due_us = due_us

    @property
    def is_due(self) -> bool:
        """Whether this is the deadline itself, not the warning before it."""
        return self.at_us == self.due_us

    def __lt__(self, other: "Step") -> bool:
        return (self.at_us, self.level, self.due_us) < (other.at_us, other.level, other.due_us)


@mypyc_attr(acyclic=True)
class Saying:
    """What is to be said of one level of a turn."""

    __slots__ = ("at_us", "due_us", "level", "reason", "state")

    def __init__(self, level: str, due_us: int, state: State, at_us: int, reason: str) -> None:
        self.level = level
        self.due_us = due_us
        self.state = state
        self.at_us = at_us
        self.reason = reason


class Alerts:
    """Says each transition once, and keeps what was said at the request."""

    def __init__(self, deadlines: Deadlines, desks: Desks, max_age_us: int) -> None:
        self._deadlines = deadlines
        self._desks = desks
        self._max_age_us = max_age_us
        self._said: list[Transition] = []
        self.now_us = LONG_AGO_US
        """How far time has moved for this partition: what is due before has passed."""
        self.clock_us = NO_CLOCK_US
        """The clock itself, which says what is history (S18)."""
        self.begun_us = 0
        """No fact was newer when the facts were restored: what is said from then on is ahead of all before."""

    def due(self, turn: Turn) -> Due:
        """Level, due instant and at-risk instant of a turn: the calendar is the team's at its start (S15)."""
        plain = self._deadlines.plain(turn.start_us)
        if plain is not None:
            return plain.due(turn.start_us)
        opener = turn.opener
        return self._deadlines.due(turn.start_us, self.team(turn.owner), opener.priority, opener.channel)

    def business_us(self, turn: Turn, until_us: int) -> int:
        """The working time of a turn's wait up to an instant (S12)."""
        return self._deadlines.business_us(turn.start_us, until_us, self.team(turn.owner))

    def first_us(self, turn: Turn) -> int:
        """The first instant of a turn, 0 if it has none."""
        plain = self._deadlines.plain(turn.start_us)
        if plain is not None:
            return 0 if plain.soonest_us is None else turn.start_us + plain.soonest_us
        return min(
            (due_us if at_risk_us is None else at_risk_us for _, due_us, at_risk_us in self.due(turn)), default=0
        )

    def steps(self, turn: Turn) -> list[Step]:
        """The instants of a turn, ascending."""
        steps = []
        for level, due_us, at_risk_us in self.due(turn):
            if at_risk_us is not None and at_risk_us < due_us:
                steps.append(Step(at_risk_us, level, due_us))
            steps.append(Step(due_us, level, due_us))
        steps.sort()
        return steps

    def passed(self, customer: Customer, request: Request, turn: Turn, step: Step) -> None:
        """An open turn went past one of its instants."""
        if step.is_due:
            self._say(customer, request, turn, Saying(step.level, step.due_us, "fired", step.at_us, "overdue"))
        elif self._warns(step, _last(request, turn, step.level)):
            self._say(customer, request, turn, Saying(step.level, step.due_us, "at_risk", step.at_us, "at_risk"))

    def _warns(self, step: Step, last: Transition | None) -> bool:
        """Whether a step is worth a warning after what was said last: a new owner is warned, too, but not too late."""
        if last is None or last.state == "retracted":
            return True
        return last.state != "fired" and step.due_us >= self.now_us

    def ended(self, customer: Customer, request: Request, turn: Turn, due: Due) -> None:
        """A turn ended: past a deadline its alert fired and resolves; before it, what was said is taken back (S17)."""
        for level, due_us, _ in due:
            last = _last(request, turn, level)
            if last is None or self._lives(last):
                for saying in _last_sayings(turn, level, due_us, last):
                    self._say(customer, request, turn, saying)

    def corrected(self, customer: Customer, request: Request, ended: list[Turn]) -> None:
        """After a walk: what was said of turns that are no more, or are not due any more, is taken back."""
        if request.alerts is None:
            return
        turns = {turn.number: turn for turn in (*ended, request.turn) if turn is not None}
        for (number, level), last in list(request.alerts.items()):
            turn = turns.get(number)
            untrue = turn is None or not self._holds(turn, last)
            if untrue and last.state != "retracted" and self._lives(last):
                self._record(customer, request, (number, level), _taken_back(last, self.now_us))

    def _holds(self, turn: Turn, last: Transition) -> bool:
        """Whether a turn still has the level that was spoken of, and if it is open, is past what was said."""
        for level, due_us, at_risk_us in self.due(turn):
            if level == last.level:
                since_us = due_us if last.state == "fired" or at_risk_us is None else at_risk_us
                return turn.ending is not None or since_us < self.now_us
        return False

    def adopt(self, request: Request, said: Transition) -> bool:
        """Take over what a former owner said of an alert; whether the request's turns have to bear it out.

        What was said here later stands. What was said here before is said again if it is something else.
        """
        key = (said.turn, said.level)
        known = request.alerts.get(key) if request.alerts is not None else None
        if known is None:
            if said.state not in ACTIVE:
                return False
            if request.alerts is None:
                request.alerts = {}
            request.alerts[key] = said
            return True
        if known.revision <= said.revision:
            if known.state == said.state and known.due_us == said.due_us:
                known.revision = said.revision
            else:
                self._keep(request, key, msgspec.structs.replace(known, revision=said.revision + 1))
        return False

    def disown(self, said: Transition) -> None:
        """Take back what a former owner said of a request of which nothing is known."""
        if said.state in ACTIVE:
            revision = said.revision + 1
            self._said.append(msgspec.structs.replace(_taken_back(said, self.now_us), revision=revision))

    def passed_deadlines(self, customer: Customer, copy: Request, as_of_us: int) -> Iterator[Transition]:
        """The last word on each deadline of a request, whatever was said before; the request is walked."""
        for turn in copy.walk(customer.unlinked):
            for level, due_us, _ in self.due(turn):
                if turn.end_us > due_us:
                    saying = Saying(level, due_us, "resolved", turn.end_us, turn.ending or "answered")
                    yield self._transition(customer, copy, turn, saying)
        for level, due_us, _ in self.due(copy.turn) if copy.turn is not None else ():
            if copy.turn is not None and as_of_us > due_us:
                yield self._transition(customer, copy, copy.turn, Saying(level, due_us, "fired", due_us, "overdue"))

    def forget_history(self, customers: Iterable[Customer]) -> None:
        """Forget what was said of deadlines long past whose alerts have ended: nobody waits for more of it (S18).

        Of the active ones that were history by then, nobody knows whether they were said, or were so when they came.
        """
        for customer in customers:
            for request in (customer.requests or {}).values():
                if request.alerts is not None:
                    request.alerts = {key: last for key, last in request.alerts.items() if self._lives(last)} or None
                for last in (request.alerts or {}).values():
                    if self.now_us - last.due_us > self._max_age_us:
                        last.reason = RESTORED

    def say_again(self, customers: Iterable[Customer]) -> None:
        """Say the alerts of open turns once more, unless they are history: some of them may be new (S14)."""
        for customer in customers:
            for request in (customer.open or {}).values():
                for key, last in list((request.alerts or {}).items()):
                    if last.state in ACTIVE and not self.is_history(last.due_us):
                        again = msgspec.structs.replace(last, revision=last.revision + ROOM // 2)
                        self._keep(request, key, again)

    def _lives(self, last: Transition) -> bool:
        """Whether there may be more to say of an alert."""
        return last.state in ACTIVE or not self.is_history(last.due_us)

    def take(self) -> list[Transition]:
        """What was said since the last call."""
        said, self._said = self._said, []
        return said

    def _say(self, customer: Customer, request: Request, turn: Turn, saying: Saying) -> None:
        last = _last(request, turn, saying.level)
        # What was restored as history may never have been said: its end is said, but nothing new.
        is_new = last is None or (last.reason == RESTORED and saying.state in ACTIVE)
        # A correction of today is news, however old what it corrects.
        if is_new and self.is_history(max(saying.due_us, customer.corrected_us(request.request_id))):
            return
        owner = turn.owner_at(saying.due_us)
        if last is not None and (last.state, last.due_us, last.rep_id) == (saying.state, saying.due_us, owner):
            return
        self._record(customer, request, (turn.number, saying.level), self._transition(customer, request, turn, saying))

    def is_news(self, due: Due) -> bool:
        """Whether any of these deadlines is recent enough to be told."""
        return not self.is_history(due[-1][1])

    def team(self, rep_id: str) -> str:
        """The rep's team."""
        return self._desks.rep(rep_id).team

    def is_history(self, due_us: int) -> bool:
        """Long past due: counted as a breach, and told to nobody (S18)."""
        return self.clock_us - due_us > self._max_age_us

    def _transition(self, customer: Customer, request: Request, turn: Turn, saying: Saying) -> Transition:
        opener, owner = turn.opener, turn.owner_at(saying.due_us)
        return Transition(
            alert_id=alert_id_of(customer.customer_id, request.request_id, turn.number, saying.level),
            revision=0,
            state=saying.state,
            level=saying.level,
            severity=self._deadlines.severity(turn.start_us, saying.level),
            request_id=request.request_id,
            turn=turn.number,
            customer_id=customer.customer_id,
            rep_id=owner,
            team=self.team(owner),
            channel=opener.channel,
            priority=opener.priority,
            opened_us=turn.start_us,
            due_us=saying.due_us,
            at_us=saying.at_us,
            reason=saying.reason,
            topic=opener.topic,
        )

    def _record(self, customer: Customer, request: Request, key: tuple[int, str], transition: Transition) -> None:
        last = request.alerts.get(key) if request.alerts is not None else None
        known = max(customer.newest_us, self.begun_us) // MILLISECOND_US + customer.facts
        transition.revision = max(
            ROOM * known + REVISIONS[transition.state], last.revision + 1 if last is not None else 0
        )
        self._keep(request, key, transition)

    def _keep(self, request: Request, key: tuple[int, str], transition: Transition) -> None:
        if request.alerts is None:
            request.alerts = {}
        request.alerts[key] = transition
        self._said.append(transition)


def _last_sayings(turn: Turn, level: str, due_us: int, last: Transition | None) -> Iterator[Saying]:
    """What is to be said of a level when its turn has ended, after what was said last."""
    ending = turn.ending or "answered"
    state = last.state if last is not None else None
    was_breach = last is not None and (state == "fired" or (state == "resolved" and last.at_us > last.due_us))
    if turn.end_us > due_us:
        if not was_breach:
            yield Saying(level, due_us, "fired", due_us, "corrected" if state == "resolved" else "ended_overdue")
        yield Saying(level, due_us, "resolved", turn.end_us, ending)
    elif state == "at_risk":
        yield Saying(level, due_us, "resolved", turn.end_us, ending)
    elif was_breach:
        yield Saying(level, due_us, "retracted", turn.end_us, "answered_in_time")


def _last(request: Request, turn: Turn, level: str) -> Transition | None:
    return request.alerts.get((turn.number, level)) if request.alerts is not None else None


def _taken_back(last: Transition, at_us: int) -> Transition:
    return msgspec.structs.replace(last, state="retracted", at_us=at_us, reason="corrected")
