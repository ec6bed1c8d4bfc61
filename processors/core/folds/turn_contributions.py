"""What turns say of reps: answers, how long they took, what was held, which deadlines were met and missed (S06 to S12).

Each is posted with a sign: +1 when a turn begins to say it, -1 when it no longer does.
"""

from processors.core.folds.alerts import Alerts
from processors.core.folds.distinct_customers import Distinct
from processors.core.folds.scoreboards import Desks, bump, count_wait
from processors.core.state.customers import Customer
from processors.core.state.deadlines import Due
from processors.core.state.requests import Turn
from schemas.views import Partial


class Verdicts:
    """Posts what the turns of one source partition say."""

    def __init__(self, desks: Desks, alerts: Alerts, answered: Distinct) -> None:
        self._desks = desks
        self._alerts = alerts
        self._answered = answered
        self.outcomes: dict[tuple[str, str, str], int] = {}
        """(team, level, met or missed) to how many more turns came to it, history left out: for burn rates."""

    def passed(self, turn: Turn, passed: int, sign: int) -> None:
        """The breaches of an open turn that went past so many of its instants."""
        for step in self._alerts.steps(turn)[:passed]:
            if step.is_due:
                self.breach(turn, step.level, step.due_us, sign)

    def breach(self, turn: Turn, level: str, due_us: int, sign: int) -> None:
        """A breach belongs to the owner at the due instant (S08)."""
        owner = turn.owner_at(due_us)
        bump(self._desks.rep(owner).at(due_us).breaches, level, sign)
        if not self._alerts.is_history(due_us):
            bump(self.outcomes, (self._alerts.team(owner), level, "missed"), sign)

    def ended(self, customer: Customer, turn: Turn, due: Due, sign: int) -> None:
        """All that a turn says which ended, by its deadlines."""
        within = None
        if turn.ending == "answered":
            within = self._post_answer(customer, turn, sign).answered_within
        else:
            desk = self._desks.rep(turn.owner_at(turn.end_us))
            bump(desk.at(turn.end_us).closed_unanswered, turn.ending or "", sign)
            if turn.ending in ("withdrawn", "spam"):
                return
        for level, due_us, _ in due:
            if turn.end_us > due_us:
                self.breach(turn, level, due_us, sign)
            elif within is not None:
                bump(within, level, sign)
                if not self._alerts.is_history(due_us):
                    bump(self.outcomes, (self._alerts.team(turn.responder), level, "met"), sign)

    def _post_answer(self, customer: Customer, turn: Turn, sign: int) -> Partial:
        """The response time is the responder's (S08), on the responder's day: its partial."""
        desk = self._desks.reps.get(turn.responder) or self._desks.rep(turn.responder)
        day = desk.day(turn.end_us)
        partial = desk.partial(day)
        wait_us, business_us = turn.end_us - turn.start_us, self._alerts.business_us(turn, turn.end_us)
        partial.responses += sign
        partial.response_us += _signed(wait_us, sign)
        partial.business_us += _signed(business_us, sign)
        count_wait(partial.response_buckets, wait_us, sign)
        if customer.answered is None:
            customer.answered = {}
        self._answered.post(customer.answered, turn.responder, day, sign)
        if turn.owner == turn.responder and not turn.changes:
            partial.hold_us += _signed(wait_us, sign)
        else:
            self._post_holds(turn, sign)
        return partial

    def _post_holds(self, turn: Turn, sign: int) -> None:
        """Every owner's share of the wait, on the owner's local day of the answer (S07)."""
        for hold in turn.holds(turn.end_us):
            self._desks.rep(hold.owner).at(turn.end_us).hold_us += _signed(hold.to_us - hold.from_us, sign)


def _signed(span_us: int, sign: int) -> int:
    """A span as it is to be added: the product with 1 or -1, of which compiled code would make two large integers."""
    return span_us if sign > 0 else -span_us
