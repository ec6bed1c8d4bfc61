"""The story of one opportunity: created, followed up, through the stages with detours, to its close and beyond."""

from collections.abc import Callable
from decimal import Decimal

from processors.ingest.simulator.people import SimulatedCustomer
from processors.ingest.simulator.rep_context import Pursuit, RepContext
from schemas.events import (
    ActivityLogged,
    CustomerRevenue,
    Event,
    OpportunityAssigned,
    OpportunityCreated,
    OpportunityLost,
    OpportunityReopened,
    OpportunityStageEntered,
    OpportunityWon,
)

STAGES = ("prospecting", "qualified", "demo", "trial", "proposal", "negotiation")
"""The default pipeline of `config/policy.toml`."""
STAGE_HOURS = (6.0, 9.0, 8.0, 14.0, 8.0, 7.0)
"""Median working hours that an opportunity spends in each stage."""
LOSSES = (0.17, 0.15, 0.1, 0.12, 0.12, 0.14)
"""Share lost out of each stage by a rep of ordinary skill."""
LOSS_REASONS = (*("price",) * 4, *("timing",) * 3, *("competitor",) * 3, "no_budget", None)
DEAL_SIZES = {"small": 1_800.0, "medium": 9_500.0, "enterprise": 48_000.0, None: 3_200.0}
"""Median amount by segment."""

SKIPPED, WENT_BACK, SLIPPED, HANDED_OVER, STALLED = 0.12, 0.06, 0.01, 0.03, 0.02
"""Probabilities at each stage; a stalled opportunity is never closed."""
LOST_REOPENED, WON_REOPENED, WON_AGAIN, REFUNDED, RENEWED = 0.07, 0.03, 0.6, 0.05, 0.25
FIRST_FOLLOW_UP = (*("call",) * 3, *("email",) * 3, "meeting")


class OpportunityStory:
    """One opportunity of a customer, from its creation to its last close."""

    def __init__(self, context: RepContext, customer: SimulatedCustomer) -> None:
        self._context = context
        self._customer = customer
        self._opportunity_id = context.new_id("O")
        self._owner = context.rep.rep_id

    def run(self, at_us: int) -> None:
        """Emit all of its events."""
        self._emit(at_us, OpportunityCreated, segment=self._customer.segment)
        followed_us = self._follow_up(at_us)
        closed_us = self._pursue(followed_us)
        pursuit = Pursuit(self._opportunity_id, self._customer, followed_us, closed_us)
        self._context.pursuits.append(pursuit)

    def _follow_up(self, at_us: int) -> int:
        """The first contact after the creation, which begins the sales cycle."""
        followed_us = self._context.worked(at_us, 3.0)
        self._emit(followed_us, ActivityLogged, kind=self._context.dice.pick(FIRST_FOLLOW_UP), recontactable=True)
        return followed_us

    def _pursue(self, at_us: int) -> int:
        """Through the stages; the instant of the close, or of the last step."""
        context, stage = self._context, 0
        while stage < len(STAGES):
            self._enter(at_us, stage)
            at_us = context.worked(at_us, STAGE_HOURS[stage])
            if context.dice.chance(STALLED):
                return at_us
            if context.dice.chance(LOSSES[stage] * (1.5 - context.rep.skill)):
                return self._lose(at_us)
            stage = self._next(stage)
        return self._win(at_us)

    def _next(self, stage: int) -> int:
        dice = self._context.dice
        if stage > 0 and dice.chance(WENT_BACK):
            return stage - 1
        return stage + (2 if dice.chance(SKIPPED) else 1)

    def _enter(self, at_us: int, stage: int) -> None:
        context = self._context
        if stage > 0 and context.dice.chance(HANDED_OVER):
            self._owner = context.colleague()
            self._emit(at_us, OpportunityAssigned)
        entered = self._emit(at_us, OpportunityStageEntered, stage=STAGES[stage])
        if context.dice.chance(SLIPPED):
            corrected_us = context.passed(at_us, 0.2)
            context.retract(corrected_us, self._customer, entered, "opportunity", self._opportunity_id)
            self._emit(corrected_us, OpportunityStageEntered, stage=STAGES[stage])

    def _win(self, at_us: int) -> int:
        amount = self._context.money(DEAL_SIZES[self._customer.segment])
        self._emit(at_us, OpportunityWon, amount=amount)
        if self._context.dice.chance(WON_REOPENED):
            return self._retry(at_us)
        self._earn(at_us, amount)
        return at_us

    def _lose(self, at_us: int) -> int:
        self._emit(at_us, OpportunityLost, reason=self._context.dice.pick(LOSS_REASONS))
        return self._retry(at_us) if self._context.dice.chance(LOST_REOPENED) else at_us

    def _retry(self, at_us: int) -> int:
        """Reopened some days after its close, and closed again."""
        context = self._context
        reopened_us = context.worked(at_us, 12.0)
        self._emit(reopened_us, OpportunityReopened)
        closed_us = context.worked(reopened_us, 10.0)
        if context.dice.chance(WON_AGAIN):
            return self._win(closed_us)
        return self._lose(closed_us)

    def _earn(self, won_us: int, amount: Decimal) -> None:
        """The money of a win; sometimes a refund of a part, sometimes a renewal."""
        context = self._context
        paid_us = context.passed(won_us, 40.0)
        self._pay(paid_us, amount)
        if context.dice.chance(REFUNDED):
            self._pay(context.passed(paid_us, 120.0), -(amount * 3 / 10).quantize(Decimal("0.01")))
        if context.dice.chance(RENEWED):
            self._pay(context.passed(paid_us, 30 * 24.0, sigma=0.1), amount)

    def _pay(self, at_us: int, amount: Decimal) -> None:
        self._context.emit(at_us, CustomerRevenue, self._customer, amount=amount, rep_id=self._owner)

    def _emit(self, at_us: int, event: Callable[..., Event], **fields: object) -> str:
        return self._context.emit(
            at_us, event, self._customer, opportunity_id=self._opportunity_id, rep_id=self._owner, **fields
        )
