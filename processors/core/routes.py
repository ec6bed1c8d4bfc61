"""Which folder takes which kind of fact, and what is checked before: the whole dispatch of the core in two tables."""

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


def folders(waiting: Waiting, pipeline: Pipeline, activities: Activities, worth: Worth) -> dict[type, Folder]:
    """Every type of fact but retractions."""
    return {
        ev.RequestOpened: waiting,
        ev.RequestAnswered: waiting,
        ev.RequestAssigned: waiting,
        ev.RequestClosed: waiting,
        ev.ActivityLogged: activities,
        ev.OpportunityCreated: pipeline,
        ev.OpportunityStageEntered: pipeline,
        ev.OpportunityWon: pipeline,
        ev.OpportunityLost: pipeline,
        ev.OpportunityReopened: pipeline,
        ev.OpportunityAssigned: pipeline,
        ev.CustomerUpdated: worth,
        ev.CustomerRevenue: worth,
        ev.CustomerCost: worth,
    }


def checks(pipeline: Pipeline, worth: Worth) -> dict[type, Check]:
    """The types that have to pass a check first."""
    return {
        ev.OpportunityCreated: pipeline.check,
        ev.OpportunityStageEntered: pipeline.check,
        ev.OpportunityWon: worth.check,
        ev.CustomerRevenue: worth.check,
        ev.CustomerCost: worth.check,
    }
