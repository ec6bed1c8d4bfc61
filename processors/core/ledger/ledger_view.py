"""What readers may ask of a ledger: numbers, turns and deadlines, as of its last refold. A view changes nothing."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from processors.core.folds.alerts import Alerts
from processors.core.folds.lifetime_value_fold import LifetimeValueFold
from processors.core.folds.opportunity_fold import OpportunityFold
from processors.core.folds.request_fold import RequestFold
from processors.core.folds.scoreboards import EMPTY, Scoreboards
from processors.core.folds.turn_deadlines import TurnDeadlines
from processors.core.state.customers import Customer
from processors.core.state.deadlines import Due
from processors.core.state.opportunities import Opportunity, OpportunityState
from processors.core.state.requests import Turn
from schemas.alerts import Transition
from schemas.views import OpenRequest, Partial, Scope, Segment

NO_PARTIALS: Mapping[int, Partial] = {}


class Folds(NamedTuple):
    """The folds that have more to tell than what is on the scoreboards."""

    requests: RequestFold
    opportunities: OpportunityFold
    lifetime_values: LifetimeValueFold


class LedgerView:
    """`Ledger.view` makes one, and refolds first: so nobody reads numbers that were withdrawn and not folded again."""

    def __init__(
        self,
        customers: dict[str, Customer],
        scoreboards: Scoreboards,
        folds: Folds,
        alerts: Alerts,
        deadlines: TurnDeadlines,
    ) -> None:
        self._customers = customers
        self._scoreboards = scoreboards
        self._requests, self._opportunities, self._lifetime_values = folds
        self._alerts = alerts
        self._deadlines = deadlines

    # -- numbers ----------------------------------------------------------------------------------

    def active_reps(self) -> list[str]:
        """The reps who have any number."""
        reps = self._scoreboards.reps.items()
        return [rep_id for rep_id, board in reps if any(partial != EMPTY for partial in board.days.values())]

    def partials(self, rep_id: str) -> Mapping[int, Partial]:
        """A rep's partials by local day (days since 1970)."""
        scoreboard = self._scoreboards.reps.get(rep_id)
        return NO_PARTIALS if scoreboard is None else scoreboard.days

    def partial_at(self, rep_id: str, at_us: int) -> Partial:
        """A rep's partial of the local day of an instant (microseconds since 1970); an empty one, if there is none."""
        return self.partials(rep_id).get(self.local_day(rep_id, at_us), EMPTY)

    def pooled_partials(self, scope: Scope, subject: str) -> Iterator[tuple[str, Mapping[int, Partial]]]:
        """The distinct counts of a team, or of the company (`""`): zones, and the partials by their days."""
        for zones, scoreboard in self._scoreboards.by_zones(scope, subject).items():
            yield zones, scoreboard.days

    def segments(self) -> Mapping[str, Segment]:
        """Customers and their money by present segment (S26)."""
        return self._lifetime_values.segments

    # -- requests ---------------------------------------------------------------------------------

    def open_requests(self) -> Iterator[OpenRequest]:
        """Who waits now."""
        for customer in self._customers.values():
            for request in (customer.open or {}).values():
                view = self._requests.view(customer, request)
                if view is not None:
                    yield view

    def turns(self) -> Iterator[Turn]:
        """All turns that ended."""
        for customer in self._customers.values():
            for request in self._requests.copies(customer):
                yield from request.walk(customer.unlinked)

    def passed_deadlines(self, as_of_us: int) -> Iterator[Transition]:
        """The final transition of every deadline that was passed, from the facts alone."""
        for customer in self._customers.values():
            for request in self._requests.copies(customer):
                yield from self._alerts.passed_deadlines(customer, request, as_of_us)

    # -- opportunities ----------------------------------------------------------------------------

    def opportunity_state(self, customer: Customer, opportunity: Opportunity) -> OpportunityState:
        """What the facts of one of a customer's opportunities amount to."""
        return self._opportunities.state_of(customer, opportunity)

    # -- time -------------------------------------------------------------------------------------

    def local_day(self, rep_id: str, at_us: int) -> int:
        """A rep's local day at an instant (S19)."""
        return self._scoreboards.rep(rep_id).day(at_us)

    def due(self, turn: Turn) -> Due:
        """The deadlines of a turn, by level (S14, S15)."""
        return self._deadlines.due(turn)

    def business_us(self, turn: Turn, until_us: int) -> int:
        """The working time of a turn's wait up to an instant (S12)."""
        return self._deadlines.business_us(turn, until_us)
