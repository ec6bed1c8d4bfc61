"""Opportunities: created, moved through stages, closed (S20 to S25).

An opportunity is a sorted list of facts and its course up to the newest. In the common case a fact is newer than all
others and the course takes one step; otherwise it is folded again from all facts, at most once per publication.
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
class Mark:
    """Something that a rep did at an instant."""

    __slots__ = ("at_us", "rep_id")

    def __init__(self, rep_id: str, at_us: int) -> None:
        self.rep_id = rep_id
        self.at_us = at_us


@mypyc_attr(acyclic=True)
class Close:
    """The close in force: no later reopening withdrew it."""

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
class Course:
    """What an opportunity's facts come to."""

    __slots__ = ("close", "created", "owner", "pipeline", "reached", "stage", "visited")

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        self.created: Mark | None = None
        self.owner: str | None = None
        self.stage: str | None = None
        """The present stage."""
        self.reached: list[Mark] = []
        """By stage in order: who brought it at least that far, and when (S20)."""
        self.visited: list[tuple[str, Mark]] = []
        """Stage and first actual entry."""
        self.close: Close | None = None

    @property
    def is_open(self) -> bool:
        """Whether it stands open now."""
        return self.close is None and (self.created is not None or bool(self.visited))


@mypyc_attr(acyclic=True)
class Opportunity:
    """One opportunity: its facts in order, instants of the activities linked to it, and the course last posted."""

    __slots__ = ("facts", "foreign", "linked", "negative_day", "opportunity_id", "posted", "said", "settled")

    def __init__(self, opportunity_id: str) -> None:
        self.opportunity_id = opportunity_id
        self.facts: list[Entry] = []
        self.linked: list[int] | None = None
        self.posted: Course | None = None
        self.foreign: dict[str, int] | None = None
        """Entries of stages that its pipeline does not have: event_id to the day (UTC)."""
        self.negative_day: int | None = None
        """The day (UTC) of its close, if that is on an earlier day than its creation (S24)."""
        self.said: set[str] | None = None
        """Those of which it was said."""
        self.settled = True
        """False: facts came or went that the posted course does not know."""


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


def course_of(root: Opportunity, pipelines: dict[str, tuple[str, ...]], touches: list[int], zone: ZoneDays) -> Course:
    """Fold an opportunity; `touches` are the instants of its customer's activities that name no opportunity.

    `zone`: the policy's, by whose days a close may precede the creation by the clock (S24).
    """
    pipeline = pipeline_of(root.facts)
    course = Course(pipeline)
    close = close_in_force(root.facts)
    stages = pipelines.get(pipeline, ())
    for entry in root.facts:
        _take(course, entry, stages, entry is close)
    if close is not None:
        course.close = _close(close.at_us, close.fact, course.created, root.linked or [], touches)
        if course.created is not None and _is_on_its_day(close.at_us, course.created.at_us, zone):
            course.close.cycle_us = 0
    return course


def _is_on_its_day(at_us: int, created_us: int, zone: ZoneDays) -> bool:
    """Whether a close precedes the creation by the clock alone: CRMs often store its date without a time (S24)."""
    return at_us < created_us and zone.day(at_us) == zone.day(created_us)


def _take(course: Course, entry: Entry, stages: tuple[str, ...], in_force: bool) -> None:
    at_us, fact = entry.at_us, entry.fact
    match fact:
        case OpportunityStageEntered():
            _enter(course, fact, at_us, stages)
        case OpportunityCreated():
            course.owner = fact.rep_id
            if course.created is None:
                course.created = Mark(fact.rep_id, at_us)
        case OpportunityWon() if in_force:
            _reach(course, len(stages), Mark(fact.rep_id, at_us))
        case OpportunityAssigned() | OpportunityReopened():
            course.owner = fact.rep_id
        case OpportunityWon() | OpportunityLost():
            pass


def step(
    root: Opportunity, course: Course, at_us: int, fact: OpportunityFact, stages: tuple[str, ...], touches: list[int]
) -> bool:
    """Take a fact that is newer than all before it; false if the course has to be folded from all facts instead."""
    if course.close is not None:
        return False
    # By exact type, as in `Request.step`.
    if type(fact) is OpportunityStageEntered:
        return _enter(course, fact, at_us, stages)
    if type(fact) is OpportunityAssigned:
        course.owner = fact.rep_id
    elif type(fact) is OpportunityWon or type(fact) is OpportunityLost:
        course.close = _close(at_us, fact, course.created, root.linked or [], touches)
        if course.close.won:
            _reach(course, len(stages), Mark(fact.rep_id, at_us))
    else:
        return False
    return True


def _enter(course: Course, fact: OpportunityStageEntered, at_us: int, stages: tuple[str, ...]) -> bool:
    """Take the entry of a stage; false if it is none of the pipeline's."""
    entered, rep_id = fact.stage, fact.rep_id
    if entered not in stages:
        return False
    mark = Mark(rep_id, at_us)
    course.stage = entered
    if course.owner is None:
        course.owner = rep_id
    for stage, _ in course.visited:
        if stage == entered:
            break
    else:
        course.visited.append((entered, mark))
    _reach(course, stages.index(entered) + 1, mark)
    return True


def _reach(course: Course, count: int, mark: Mark) -> None:
    """Entering a stage implies the earlier ones; winning implies all (S20)."""
    while len(course.reached) < count:
        course.reached.append(mark)


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


def _close(at_us: int, fact: OpportunityFact, created: Mark | None, linked: list[int], touches: list[int]) -> Close:
    """What a fact that won or lost an opportunity comes to; one before the creation has no cycle here."""
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
