"""Which folder takes which kind of fact: the whole dispatch of the core in one table."""

from collections.abc import Callable
from typing import Any, NamedTuple

from processors.core.activities import Activities
from processors.core.customers import Customer
from processors.core.pipeline import Pipeline
from processors.core.waiting import Waiting
from processors.core.worth import Worth
from schemas import events as ev

Check = Callable[[Any], None]
Handle = Callable[[Customer, int, Any], None]
"""A customer, the fact's instant (microseconds since 1970), and the fact: of the type it is routed by, hence Any."""


class Route(NamedTuple):
    """What looks at a fact before it counts (if anything must), what adds it, and what takes it back."""

    check: Check | None
    take: Handle
    remove: Handle


def routes(waiting: Waiting, pipeline: Pipeline, activities: Activities, worth: Worth) -> dict[type, Route]:
    """Every type of fact but retractions, which the ledger itself handles."""
    requests = Route(None, waiting.take, waiting.remove)
    opportunities = Route(None, pipeline.take, pipeline.remove)
    staged = Route(pipeline.check, pipeline.take, pipeline.remove)
    money = Route(worth.check, worth.take, worth.remove)
    return {
        ev.RequestOpened: requests,
        ev.RequestAnswered: requests,
        ev.RequestAssigned: requests,
        ev.RequestClosed: requests,
        ev.ActivityLogged: Route(None, activities.take, activities.remove),
        ev.OpportunityCreated: staged,
        ev.OpportunityStageEntered: staged,
        ev.OpportunityWon: Route(worth.check, pipeline.take, pipeline.remove),
        ev.OpportunityLost: opportunities,
        ev.OpportunityReopened: opportunities,
        ev.OpportunityAssigned: opportunities,
        ev.CustomerUpdated: money,
        ev.CustomerRevenue: money,
        ev.CustomerCost: money,
    }
