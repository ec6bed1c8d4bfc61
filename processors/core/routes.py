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

    __slots__ = ("check", "folder")

    def __init__(self, folder: Folder, check: Check | None = None) -> None:
        self.folder = folder
        self.check = check


def routes(waiting: Waiting, pipeline: Pipeline, activities: Activities, worth: Worth) -> dict[type, Route]:
    """Every type of fact but retractions."""
    requests, opportunities = Route(waiting), Route(pipeline)
    staged, money = Route(pipeline, pipeline.check), Route(worth, worth.check)
    return {
        ev.RequestOpened: requests,
        ev.RequestAnswered: requests,
        ev.RequestAssigned: requests,
        ev.RequestClosed: requests,
        ev.ActivityLogged: Route(activities),
        ev.OpportunityCreated: staged,
        ev.OpportunityStageEntered: staged,
        ev.OpportunityWon: Route(pipeline, worth.check),
        ev.OpportunityLost: opportunities,
        ev.OpportunityReopened: opportunities,
        ev.OpportunityAssigned: opportunities,
        ev.CustomerUpdated: Route(worth),
        ev.CustomerRevenue: money,
        ev.CustomerCost: money,
    }
