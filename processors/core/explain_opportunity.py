"""The account of an opportunity: every fact seen, its course, its cycle, and what is counted for whom."""

from collections.abc import Iterator

import msgspec

from processors.core.contributions import contributions
from processors.core.customers import Customer
from processors.core.explain import FactLine, Told, corrections, in_order, retracted_lines
from processors.core.instants import SECOND_US, instant_us, rfc3339
from processors.core.ledger import Ledger
from processors.core.money import amount_text
from processors.core.opportunities import Course, Opportunity, course_of
from schemas import events as ev

Selling = ev.OpportunityFact | ev.ActivityLogged
Pipelines = dict[str, tuple[str, ...]]
RULES = {
    "opportunities_created": "S23",
    "created_won": "S23",
    "won": "S23",
    "lost": "S23",
    "won_cents": "S23",
    "entered": "S20",
    "visited": "S20",
    "advanced": "S20",
    "open": "S08",
}
"""Measures that are not of the sales cycle (S24), by rule."""


class CountLine(msgspec.Struct):
    """Something that is counted: for whom, at which instant (none: it stands open now), by which rule."""

    number: str
    stage: str
    amount: str
    rep_id: str
    at: str | None
    rule: str


class OpportunityAccount(msgspec.Struct):
    """All that is known of an opportunity."""

    opportunity_id: str
    customer_id: str
    as_of: str
    pipeline: str
    owner: str | None
    facts: list[FactLine]
    reached: dict[str, str]
    visited: dict[str, str]
    close: str | None
    first_follow_up: str | None
    cycle_seconds: float | None
    counted: list[CountLine]


def explain_opportunity(
    ledger: Ledger, opportunity_id: str, as_of_us: int, pipelines: Pipelines
) -> list[OpportunityAccount]:
    """The accounts of every customer's opportunity of this id, also of one that only activities name."""
    ledger.settle()
    named = [
        fact for fact in ledger.facts.values() if isinstance(fact, Selling) and fact.opportunity_id == opportunity_id
    ]
    accounts = []
    for customer_id in dict.fromkeys(fact.customer_id for fact in named):
        customer = ledger.customers[customer_id]
        root = (customer.opportunities or {}).get(opportunity_id) or Opportunity(opportunity_id)
        course = course_of(root, pipelines, customer.touches or [])
        mine = [fact for fact in named if fact.customer_id == customer_id]
        lines = list(_facts(ledger, customer, mine, course, pipelines.get(course.pipeline, ())))
        accounts.append(_account(root, customer_id, course, lines, as_of_us, pipelines))
    return accounts


def _account(
    root: Opportunity, customer_id: str, course: Course, lines: list[FactLine], as_of_us: int, pipelines: Pipelines
) -> OpportunityAccount:
    stages, close, created = pipelines.get(course.pipeline, ()), course.close, course.created
    cycle_us = None
    if close is not None and created is not None and close.at_us >= created.at_us:
        cycle_us = close.at_us - (created.at_us if close.follow_up_us is None else close.follow_up_us)
    follow_up = close.follow_up_us if close is not None else None
    return OpportunityAccount(
        opportunity_id=root.opportunity_id,
        customer_id=customer_id,
        as_of=rfc3339(as_of_us),
        pipeline=course.pipeline,
        owner=course.owner,
        facts=lines,
        reached={stage: f"{rfc3339(m.at_us)} by {m.rep_id}" for stage, m in zip(stages, course.reached, strict=False)},
        visited={stage: f"{rfc3339(mark.at_us)} by {mark.rep_id}" for stage, mark in course.visited},
        close=None if close is None else f"{'won' if close.won else 'lost'} {rfc3339(close.at_us)} by {close.rep_id}",
        first_follow_up=None if follow_up is None else rfc3339(follow_up),
        cycle_seconds=None if cycle_us is None else cycle_us / SECOND_US,
        counted=list(_counted(course, stages)),
    )


def _counted(course: Course, stages: tuple[str, ...]) -> Iterator[CountLine]:
    for rep_id, at_us, measure, _, stage, amount in contributions(course, stages):
        at = None if measure == "open" else rfc3339(at_us)
        match measure:
            case "won_cents":
                number, text = "won_amount", amount_text(amount)
            case "cycle_won_us" | "cycle_lost_us":
                number, text = f"sales_{measure.removesuffix('_us')}_seconds", f"{amount / SECOND_US:g}"
            case "cycle_won" | "cycle_lost":
                continue
            case _:
                number, text = measure, str(amount)
        yield CountLine(number, stage, text, rep_id, at, RULES.get(measure, "S24"))


def _facts(
    ledger: Ledger, customer: Customer, mine: list[Selling], course: Course, stages: tuple[str, ...]
) -> Iterator[FactLine]:
    retractions = corrections(ledger, customer, {fact.event_id for fact in mine})
    counted = [fact for fact in mine if fact.event_id not in retractions]
    also = _unlinked_follow_up(ledger, customer, course)
    known: list[Told] = [(fact, _effect(fact, course, stages)) for fact in [*counted, *also]]
    known += retracted_lines([fact for fact in mine if fact.event_id in retractions], retractions)
    yield from in_order(known)


def _unlinked_follow_up(ledger: Ledger, customer: Customer, course: Course) -> list[Selling]:
    """The activity that names no opportunity and is the first follow-up all the same."""
    at_us = course.close.follow_up_us if course.close is not None else None
    return [
        fact
        for fact in ledger.facts.values()
        if isinstance(fact, ev.ActivityLogged)
        and at_us is not None
        and (fact.customer_id, fact.opportunity_id) == (customer.customer_id, None)
        and instant_us(fact.occurred_at) == at_us
        and not corrections(ledger, customer, {fact.event_id})
    ]


def _effect(fact: Selling, course: Course, stages: tuple[str, ...]) -> tuple[str, str]:
    """What a fact of an opportunity did, and by which rule."""
    at_us = instant_us(fact.occurred_at)
    match fact:
        case ev.ActivityLogged(kind=kind, rep_id=rep_id):
            first = course.close is not None and course.close.follow_up_us == at_us
            return f"{kind} by {rep_id}{': the first follow-up' if first else ''}", "S24" if first else "S19"
        case ev.OpportunityCreated(pipeline=pipeline, rep_id=rep_id):
            again = course.created is None or not course.created.is_of(rep_id, at_us)
            return f"{'was created before' if again else f'created in pipeline {pipeline}'}; {rep_id} owns it", "S23"
        case ev.OpportunityStageEntered():
            return _stage(fact, at_us, course, stages)
        case ev.OpportunityReopened(rep_id=rep_id):
            return f"withdraws an earlier close; {rep_id} owns it", "S24"
        case ev.OpportunityAssigned(rep_id=rep_id):
            return f"{rep_id} owns it from now on", "S08"
        case ev.OpportunityWon() | ev.OpportunityLost():
            return _end(fact, at_us, course)


def _end(fact: ev.OpportunityWon | ev.OpportunityLost, at_us: int, course: Course) -> tuple[str, str]:
    done, close = "wins" if isinstance(fact, ev.OpportunityWon) else "loses", course.close
    valid = close is not None and (close.at_us, close.rep_id) == (at_us, fact.rep_id)
    return f"{fact.rep_id} {done} it{'' if valid else ', which a later fact withdraws'}", "S24"


def _stage(fact: ev.OpportunityStageEntered, at_us: int, course: Course, stages: tuple[str, ...]) -> tuple[str, str]:
    if fact.stage not in stages:
        return f"stage {fact.stage} is of another pipeline: counts for nothing", "S22"
    if not dict(course.visited)[fact.stage].is_of(fact.rep_id, at_us):
        return f"enters {fact.stage} again, which counts once", "S21"
    index = stages.index(fact.stage)
    if not course.reached[index].is_of(fact.rep_id, at_us):
        return f"enters {fact.stage}, which was reached already", "S21"
    before = [
        stage for stage, mark in zip(stages[:index], course.reached, strict=False) if mark.is_of(fact.rep_id, at_us)
    ]
    implied = f", which implies {', '.join(before)}" if before else ""
    return f"enters {fact.stage}{implied}", "S20"
