"""What turns contribute to scoreboards: answers and their times, holds, deadlines met and missed (S06 to S12).

Each is added with a sign: +1 when a turn begins to contribute it, -1 when it is withdrawn.
"""

from processors.core.folds.distinct_customers import DistinctCustomers
from processors.core.folds.scoreboards import Scoreboards, bump, count_wait
from processors.core.folds.turn_deadlines import TurnDeadlines
from processors.core.state.customers import Customer
from processors.core.state.deadlines import Due
from processors.core.state.partition_clock import PartitionClock
from processors.core.state.requests import Turn
from schemas.views import Partial


class TurnContributions:
    """Adds what the turns of one source partition contribute, and takes it back."""

    def __init__(
        self, scoreboards: Scoreboards, deadlines: TurnDeadlines, clock: PartitionClock, answered: DistinctCustomers
    ) -> None:
        self._scoreboards = scoreboards
        self._deadlines = deadlines
        self._clock = clock
        self._answered = answered
        self._outcomes: dict[tuple[str, str, str], int] = {}
        """(team, level, met or missed) to how many more turns had that outcome, history left out: for burn rates."""

    @property
    def outcomes(self) -> dict[tuple[str, str, str], int]:
        """(team, level, met or missed) to how many more turns had that outcome since the last drain."""
        return dict(self._outcomes)

    def drain_outcomes(self) -> dict[tuple[str, str, str], int]:
        """The same, from now on counted anew."""
        outcomes, self._outcomes = self._outcomes, {}
        return outcomes

    def restore_outcomes(self, outcomes: dict[tuple[str, str, str], int]) -> None:
        """Go back to earlier counts: what was withdrawn and folded again since met and missed nothing new."""
        self._outcomes = outcomes

    def steps_passed(self, turn: Turn, count: int, sign: int) -> None:
        """The breaches of an open turn that went past `count` of its steps."""
        for step in self._deadlines.steps(turn)[:count]:
            if step.is_due:
                self.breach(turn, step.level, step.due_us, sign)

    def breach(self, turn: Turn, level: str, due_us: int, sign: int) -> None:
        """A breach belongs to the owner at the due instant (S08)."""
        owner = turn.owner_at(due_us)
        bump(self._scoreboards.rep(owner).at(due_us).breaches, level, sign)
        if not self._clock.is_history(due_us):
            bump(self._outcomes, (self._deadlines.team(owner), level, "missed"), sign)

    def ended(self, customer: Customer, turn: Turn, due: Due, sign: int) -> None:
        """All that an ended turn contributes; `due`: its deadlines."""
        within = None
        if turn.ending == "answered":
            within = self._post_answer(customer, turn, sign).answered_within
        else:
            scoreboard = self._scoreboards.rep(turn.owner_at(turn.end_us))
            bump(scoreboard.at(turn.end_us).closed_unanswered, turn.ending or "", sign)
            if turn.ending in ("withdrawn", "spam"):
                return
        for level, due_us, _ in due:
            if turn.end_us > due_us:
                self.breach(turn, level, due_us, sign)
            elif within is not None:
                bump(within, level, sign)
                if not self._clock.is_history(due_us):
                    bump(self._outcomes, (self._deadlines.team(turn.responder), level, "met"), sign)

    def _post_answer(self, customer: Customer, turn: Turn, sign: int) -> Partial:
        """The response time is the responder's (S08), on the responder's day: its partial."""
        scoreboard = self._scoreboards.reps.get(turn.responder) or self._scoreboards.rep(turn.responder)
        day = scoreboard.day(turn.end_us)
        partial = scoreboard.partial(day)
        wait_us, business_us = turn.end_us - turn.start_us, self._deadlines.business_us(turn, turn.end_us)
        partial.responses += sign
        partial.response_us += _signed(wait_us, sign)
        partial.business_us += _signed(business_us, sign)
        count_wait(partial.response_buckets, wait_us, sign)
        if customer.answered is None:
            customer.answered = {}
        self._answered.count(customer.answered, turn.responder, day, sign)
        if turn.owner == turn.responder and not turn.changes:
            partial.hold_us += _signed(wait_us, sign)
        else:
            self._post_holds(turn, sign)
        return partial

    def _post_holds(self, turn: Turn, sign: int) -> None:
        """Every owner's share of the wait, on the owner's local day of the answer (S07)."""
        for hold in turn.holds(turn.end_us):
            self._scoreboards.rep(hold.owner).at(turn.end_us).hold_us += _signed(hold.to_us - hold.from_us, sign)


def _signed(span_us: int, sign: int) -> int:
    """A span times 1 or -1. A product would make compiled code box both as large integers."""
    return span_us if sign > 0 else -span_us
