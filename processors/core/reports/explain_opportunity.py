"""The account of an opportunity: every fact seen, its stages, its cycle, and what is counted for whom."""

from collections.abc import Iterator

import msgspec

from processors.core.folds.opportunity_contributions import contributions
from processors.core.ledger.ledger import Ledger
from processors.core.reports.explain import FactEffect, FactLine, Retractions, corrections, in_order, retracted_lines
from processors.core.state.customers import Customer
from processors.core.state.money import amount_text
from processors.core.state.opportunities import Opportunity, OpportunityState, close_in_force
from processors.core.time.instants import SECOND_US, instant_us, rfc3339
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
    view = ledger.view()
    named: dict[str, list[Selling]] = {}
    for fact in ledger.facts.values():
        if isinstance(fact, Selling) and fact.opportunity_id == opportunity_id:
            named.setdefault(fact.customer_id, []).append(fact)
    states: dict[str, OpportunityState] = {}
    roots = {customer_id: _root(ledger.customers[customer_id], opportunity_id) for customer_id in named}
    for customer_id, root in roots.items():
        states[customer_id] = view.opportunity_state(ledger.customers[customer_id], root)
    for fact in _unlinked_follow_ups(ledger, states):
        named[fact.customer_id].append(fact)
    retractions = corrections(ledger, (fact for facts in named.values() for fact in facts))
    accounts = []
    for customer_id, facts in named.items():
        root, state = roots[customer_id], states[customer_id]
        lines = list(_facts(root, state, facts, retractions, pipelines))
        accounts.append(_account(root, customer_id, state, lines, as_of_us, pipelines))
    return accounts


def _root(customer: Customer, opportunity_id: str) -> Opportunity:
    return (customer.opportunities or {}).get(opportunity_id) or Opportunity(opportunity_id)


def _account(
    root: Opportunity,
    customer_id: str,
    state: OpportunityState,
    lines: list[FactLine],
    as_of_us: int,
    pipelines: Pipelines,
) -> OpportunityAccount:
    stages, close = pipelines.get(state.pipeline, ()), state.close
    cycle_us = close.cycle_us if close is not None else None
    follow_up = close.follow_up_us if close is not None else None
    return OpportunityAccount(
        opportunity_id=root.opportunity_id,
        customer_id=customer_id,
        as_of=rfc3339(as_of_us),
        pipeline=state.pipeline,
        owner=state.owner,
        facts=lines,
        reached={stage: f"{rfc3339(m.at_us)} by {m.rep_id}" for stage, m in zip(stages, state.reached, strict=False)},
        visited={stage: f"{rfc3339(entry.at_us)} by {entry.rep_id}" for stage, entry in state.visited},
        close=None if close is None else f"{'won' if close.won else 'lost'} {rfc3339(close.at_us)} by {close.rep_id}",
        first_follow_up=None if follow_up is None else rfc3339(follow_up),
        cycle_seconds=None if cycle_us is None else cycle_us / SECOND_US,
        counted=list(_counted(state, stages)),
    )


def _counted(state: OpportunityState, stages: tuple[str, ...]) -> Iterator[CountLine]:
    for rep_id, at_us, measure, _, stage, amount in contributions(state, stages):
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
    root: Opportunity, state: OpportunityState, mine: list[Selling], retractions: Retractions, pipelines: Pipelines
) -> Iterator[FactLine]:
    effects = _effects(root, pipelines.get(state.pipeline, ()))
    known: list[FactEffect] = []
    for fact in mine:
        if isinstance(fact, ev.ActivityLogged):
            if fact.event_id not in retractions:
                known.append((fact, _activity(fact, state)))
        elif fact.event_id in effects:
            known.append((fact, effects[fact.event_id]))
    # One that names no opportunity and was retracted is no follow-up of this one.
    known += retracted_lines([fact for fact in mine if fact.opportunity_id is not None], retractions)
    yield from in_order(known)


def _unlinked_follow_ups(ledger: Ledger, states: dict[str, OpportunityState]) -> list[ev.ActivityLogged]:
    """The activities that name no opportunity and are the first follow-up of one all the same."""
    instants = {
        customer_id: state.close.follow_up_us for customer_id, state in states.items() if state.close is not None
    }
    return [
        fact
        for fact in ledger.facts.values()
        if isinstance(fact, ev.ActivityLogged)
        and fact.opportunity_id is None
        and instants.get(fact.customer_id) == instant_us(fact.occurred_at)
    ]


def _activity(fact: ev.ActivityLogged, state: OpportunityState) -> tuple[str, str]:
    first = state.close is not None and state.close.follow_up_us == instant_us(fact.occurred_at)
    return f"{fact.kind} by {fact.rep_id}{': the first follow-up' if first else ''}", "S24" if first else "S19"


def _effects(root: Opportunity, stages: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """event_id to what a fact of an opportunity did, and by which rule: in their order (S27), each after the former."""
    effects: dict[str, tuple[str, str]] = {}
    close = close_in_force(root.facts)
    visited: set[str] = set()
    reached, was_created = 0, False
    for entry in root.facts:
        fact: ev.OpportunityFact = entry.fact
        match fact:
            case ev.OpportunityCreated(pipeline=pipeline, rep_id=rep_id):
                done = "was created before" if was_created else f"created in pipeline {pipeline}"
                effect, was_created = (f"{done}; {rep_id} owns it", "S23"), True
            case ev.OpportunityStageEntered(stage=stage) if stage in stages:
                effect = _stage(stage, stages, reached, again=stage in visited)
                visited.add(stage)
                reached = max(reached, stages.index(stage) + 1)
            case ev.OpportunityWon() | ev.OpportunityLost():
                effect = _end(fact, in_force=entry is close)
                if entry is close and isinstance(fact, ev.OpportunityWon):
                    reached = len(stages)
            case ev.OpportunityStageEntered(stage=stage):
                effect = f"stage {stage} is of another pipeline: counts for nothing", "S22"
            case ev.OpportunityReopened(rep_id=rep_id):
                effect = f"withdraws an earlier close; {rep_id} owns it", "S24"
            case ev.OpportunityAssigned(rep_id=rep_id):
                effect = f"{rep_id} owns it from now on", "S08"
        effects[fact.event_id] = effect
    return effects


def _end(fact: ev.OpportunityWon | ev.OpportunityLost, *, in_force: bool) -> tuple[str, str]:
    done = "wins" if isinstance(fact, ev.OpportunityWon) else "loses"
    return f"{fact.rep_id} {done} it{'' if in_force else ', which a later fact withdraws'}", "S24"


def _stage(stage: str, stages: tuple[str, ...], reached: int, *, again: bool) -> tuple[str, str]:
    """The entry of a stage, of an opportunity that had reached so many stages before."""
    if again:
        return f"enters {stage} again, which counts once", "S21"
    index = stages.index(stage)
    if index < reached:
        return f"enters {stage}, which was reached already", "S21"
    implied = ", ".join(stages[reached:index])
    return f"enters {stage}{f', which implies {implied}' if implied else ''}", "S20"
