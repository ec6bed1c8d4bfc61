"""Which fold each type of fact goes to, and what is checked first: the whole dispatch of the core in one table."""

from collections.abc import Callable
from typing import Any

from processors.core.folds.activity_fold import ActivityFold
from processors.core.folds.fold import Fold
from processors.core.folds.lifetime_value_fold import LifetimeValueFold
from processors.core.folds.opportunity_fold import OpportunityFold
from processors.core.folds.request_fold import RequestFold
from schemas import events as ev

Check = Callable[[Any], None]
"""Raises BadRecord for a fact that cannot count, whatever else is known."""


class Route:
    """The way of one type of fact."""

    __slots__ = ("check", "count", "fold")

    def __init__(self, fold: Fold, check: Check | None = None) -> None:
        self.fold = fold
        self.check = check
        self.count = 0
        """Facts that were added since the counts were last drained."""


def routes(
    requests: RequestFold, opportunities: OpportunityFold, activities: ActivityFold, lifetime_values: LifetimeValueFold
) -> dict[type[ev.Event], Route]:
    """Every type of fact but retractions."""
    return {
        ev.RequestOpened: Route(requests),
        ev.RequestAnswered: Route(requests),
        ev.RequestAssigned: Route(requests),
        ev.RequestClosed: Route(requests),
        ev.ActivityLogged: Route(activities),
        ev.OpportunityCreated: Route(opportunities, opportunities.check_pipeline),
        ev.OpportunityStageEntered: Route(opportunities, opportunities.check_stage),
        ev.OpportunityWon: Route(opportunities, lifetime_values.check),
        ev.OpportunityLost: Route(opportunities),
        ev.OpportunityReopened: Route(opportunities),
        ev.OpportunityAssigned: Route(opportunities),
        ev.CustomerUpdated: Route(lifetime_values),
        ev.CustomerRevenue: Route(lifetime_values, lifetime_values.check),
        ev.CustomerCost: Route(lifetime_values, lifetime_values.check),
    }
