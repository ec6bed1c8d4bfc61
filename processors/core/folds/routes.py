"""Which folder takes which kind of fact, and what is checked before: the whole dispatch of the core in one table."""

from collections.abc import Callable
from typing import Any

from processors.core.folds.activity_fold import Activities
from processors.core.folds.fold import Folder
from processors.core.folds.lifetime_value_fold import Worth
from processors.core.folds.opportunity_fold import Pipeline
from processors.core.folds.request_fold import Waiting
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
