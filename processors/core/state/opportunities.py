"""Opportunities: created, moved through stages, closed (S20 to S25).

An opportunity is a sorted list of facts and its state after the newest. In the common case a fact is newer than all
others and the state takes one step; otherwise it is folded again from all facts, at most once per refold.
"""

from bisect import bisect_left
from typing import Final

from mypy_extensions import mypyc_attr

from processors.core.state.money import cents
from processors.core.state.order import Entry
from processors.core.time.zones import ZoneDays
from schemas.events import (
    OpportunityAssigned,
    OpportunityCreated,
    OpportunityFact,
    OpportunityLost,
    OpportunityReopened,
    OpportunityStageEntered,
    OpportunityWon,
)

DEFAULT_PIPELINE: Final = "default"


@mypyc_attr(acyclic=True)
class Attribution:
    """Who did something, and when: the rep and the day that it counts for."""

    __slots__ = ("at_us", "rep_id")

    def __init__(self, rep_id: str, at_us: int) -> None:
        self.rep_id = rep_id
        self.at_us = at_us


@mypyc_attr(acyclic=True)
class Close:
    """The close in force: no later reopening undid it."""

    __slots__ = ("at_us", "cents", "cycle_us", "follow_up_us", "rep_id", "won")

    def __init__(self, rep_id: str, at_us: int, won: bool, cents: int, follow_up_us: int | None) -> None:
        self.rep_id = rep_id
        self.at_us = at_us
        self.won = won
        self.cents = cents
        self.follow_up_us = follow_up_us
        """The first follow-up (S24); None: the creation stands in for it."""
        self.cycle_us: int | None = None
        """The sales cycle (S24); None: it has none, since nothing was created, or that on a later day."""


@mypyc_attr(acyclic=True)
class OpportunityState:
    """What an opportunity's facts amount to."""

    __slots__ = ("close", "created", "owner", "pipeline", "reached", "stage", "visited")

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.created: Attribution | None = None
        self.owner: str | None = None
        self.stage: str | None = None
        """The present stage."""
        self.reached: list[Attribution] = []
        """By stage in order: who brought it at least that far, and when (S20)."""
        self.visited: list[tuple[str, Attribution]] = []
        """Stage and first actual entry."""
        self.close: Close | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is open now."""
        return self.close is None and (self.created is not None or bool(self.visited))


@mypyc_attr(acyclic=True)
class Opportunity:
    """One opportunity: its facts in order, instants of the activities linked to it, and the state last counted."""

    __slots__ = ("facts", "folded", "foreign", "linked", "negative_day", "opportunity_id", "posted", "reported")

    def __init__(self, opportunity_id: str) -> None:
        self.opportunity_id = opportunity_id
        self.facts: list[Entry] = []
        self.linked: list[int] | None = None
        self.posted: OpportunityState | None = None
        self.foreign: dict[str, int] | None = None
        """Entries of stages that its pipeline does not have: event_id to the day (UTC)."""
        self.negative_day: int | None = None
        """The day (UTC) of its close, if that is on an earlier day than its creation (S24)."""
        self.reported: set[str] | None = None
        """Those that were rejected already."""
        self.folded = True
        """False: facts came or went that the posted state does not know."""


def pipeline_of(facts: list[Entry]) -> str:
    """The pipeline that the first creation names."""
    for entry in facts:
        if isinstance(entry.fact, OpportunityCreated):
            return entry.fact.pipeline
    return DEFAULT_PIPELINE


def foreign_stages(facts: list[Entry], stages: tuple[str, ...]) -> list[Entry]:
    """Entries of stages that the opportunity's pipeline does not have (S22): they count for nothing."""
    entered = (entry for entry in facts if isinstance(entry.fact, OpportunityStageEntered))
    return [entry for entry in entered if entry.fact.stage not in stages]


def fold_opportunity(
    root: Opportunity, pipelines: dict[str, tuple[str, ...]], touches: list[int], zone: ZoneDays
) -> OpportunityState:
    """Fold an opportunity; `touches` are the instants of its customer's activities that name no opportunity.

    `zone`: the policy's, by whose days a close may precede the creation by the clock (S24).
    """
    pipeline = pipeline_of(root.facts)
    state = OpportunityState(pipeline)
    close = close_in_force(root.facts)
    stages = pipelines.get(pipeline, ())
    for entry in root.facts:
        _apply(state, entry, stages, entry is close)
    if close is not None:
        state.close = _close(close.at_us, close.fact, state.created, root.linked or [], touches)
        if state.created is not None and _is_on_its_day(close.at_us, state.created.at_us, zone):
            state.close.cycle_us = 0
    return state


def _is_on_its_day(at_us: int, created_us: int, zone: ZoneDays) -> bool:
    """Whether a close precedes the creation by the clock alone: CRMs often store its date without a time (S24)."""
    return at_us < created_us and zone.day(at_us) == zone.day(created_us)


def _apply(state: OpportunityState, entry: Entry, stages: tuple[str, ...], in_force: bool) -> None:
    at_us, fact = entry.at_us, entry.fact
    match fact:
        case OpportunityStageEntered():
            _enter(state, fact, at_us, stages)
        case OpportunityCreated():
            state.owner = fact.rep_id
            if state.created is None:
                state.created = Attribution(fact.rep_id, at_us)
        case OpportunityWon() if in_force:
            _reach(state, len(stages), Attribution(fact.rep_id, at_us))
        case OpportunityAssigned() | OpportunityReopened():
            state.owner = fact.rep_id
        case OpportunityWon() | OpportunityLost():
            pass


def step(
    root: Opportunity,
    state: OpportunityState,
    at_us: int,
    fact: OpportunityFact,
    stages: tuple[str, ...],
    touches: list[int],
) -> bool:
    """Move on by a fact that is newer than all before it; false if all facts have to be folded instead."""
    if state.close is not None:
        # A fact behind a close may reopen it, or be a second close: rare enough to fold all of it.
        return False
    # By exact type, as in `Request.step`.
    if type(fact) is OpportunityStageEntered:
        return _enter(state, fact, at_us, stages)
    if type(fact) is OpportunityAssigned:
        state.owner = fact.rep_id
    elif type(fact) is OpportunityWon or type(fact) is OpportunityLost:
        state.close = _close(at_us, fact, state.created, root.linked or [], touches)
        if state.close.won:
            _reach(state, len(stages), Attribution(fact.rep_id, at_us))
    else:
        return False
    return True


def _enter(state: OpportunityState, fact: OpportunityStageEntered, at_us: int, stages: tuple[str, ...]) -> bool:
    """Enter a stage; false if it is none of the pipeline's."""
    entered, rep_id = fact.stage, fact.rep_id
    if entered not in stages:
        return False
    attribution = Attribution(rep_id, at_us)
    state.stage = entered
    if state.owner is None:
        state.owner = rep_id
    for stage, _ in state.visited:
        if stage == entered:
            break
    else:
        state.visited.append((entered, attribution))
    _reach(state, stages.index(entered) + 1, attribution)
    return True


def _reach(state: OpportunityState, count: int, attribution: Attribution) -> None:
    """Entering a stage implies the earlier ones; winning implies all (S20)."""
    while len(state.reached) < count:
        state.reached.append(attribution)


def close_in_force(facts: list[Entry]) -> Entry | None:
    """The fact that closed it, unless it was reopened since."""
    for entry in reversed(facts):
        match entry.fact:
            case OpportunityWon() | OpportunityLost():
                return entry
            case OpportunityReopened():
                return None
            case _:
                continue
    return None


def _close(
    at_us: int, fact: OpportunityFact, created: Attribution | None, linked: list[int], touches: list[int]
) -> Close:
    """The close that a fact makes. One before the creation has no cycle here."""
    value, won = 0, False
    if type(fact) is OpportunityWon:
        won = True
        if fact.amount is not None:
            value = cents(fact.amount)
    follow_up = None
    if created is not None:
        follow_up = first_follow_up_us(linked, touches, created.at_us)
    if follow_up is not None and follow_up > at_us:
        follow_up = None
    close = Close(fact.rep_id, at_us, won=won, cents=value, follow_up_us=follow_up)
    if created is not None and created.at_us <= at_us:
        close.cycle_us = at_us - (created.at_us if follow_up is None else follow_up)
    return close


def first_follow_up_us(linked: list[int], touches: list[int], created_us: int) -> int | None:
    """The first activity since the creation: linked to the opportunity, or to none (S24)."""
    firsts = (_first(linked, created_us), _first(touches, created_us))
    return min((first for first in firsts if first is not None), default=None)


def _first(instants: list[int], since_us: int) -> int | None:
    index = bisect_left(instants, since_us)
    return instants[index] if index < len(instants) else None
