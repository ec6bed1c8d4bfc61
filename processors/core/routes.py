"""Which folder takes which kind of fact, and what is checked before: the whole dispatch of the core in one table."""

from collections.abc import Callable
from typing import Any

from processors.core.activities import Activities
from processors.core.folder import Folder
from processors.core.pipeline import Pipeline
from processors.core.waiting import Waiting
from processors.core.worth import Worth
from schemas import events as ev

Check = Callable[[Any], None]
"""Raises BadRecord for a fact that cannot count, whatever else is known."""


class Route:
    """The way of one type of fact."""

    __slots__ = ("check", "count", "folder")

    def __init__(self, folder: Folder, check: Check | None = None) -> None:
        self.folder = folder
        self.check = check
        self.count = 0
        """Facts that were added since they were last asked for."""


def routes(waiting: Waiting, pipeline: Pipeline, activities: Activities, worth: Worth) -> dict[type[ev.Event], Route]:
    """Every type of fact but retractions."""
    return {
        ev.RequestOpened: Route(waiting),
        ev.RequestAnswered: Route(waiting),
        ev.RequestAssigned: Route(waiting),
        ev.RequestClosed: Route(waiting),
        ev.ActivityLogged: Route(activities),
        ev.OpportunityCreated: Route(pipeline, pipeline.check_pipeline),
        ev.OpportunityStageEntered: Route(pipeline, pipeline.check_stage),
        ev.OpportunityWon: Route(pipeline, worth.check),
        ev.OpportunityLost: Route(pipeline),
        ev.OpportunityReopened: Route(pipeline),
        ev.OpportunityAssigned: Route(pipeline),
        ev.CustomerUpdated: Route(worth),
        ev.CustomerRevenue: Route(worth, worth.check),
        ev.CustomerCost: Route(worth, worth.check),
    }
