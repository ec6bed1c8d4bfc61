"""The account of one number: every fact seen, every interval counted, on whom, by which rule."""

from collections.abc import Iterator

import msgspec

from processors.core.alerts import Alerts
from processors.core.customers import Customer
from processors.core.instants import SECOND_US, instant_us, rfc3339
from processors.core.ledger import Ledger
from processors.core.opportunities import Opportunity, course_of
from processors.core.requests import Request, Turn, answers, qualifies
from schemas import events as ev


class FactLine(msgspec.Struct):
    """A fact, and what it did."""

    at: str
    event_id: str
    type: str
    effect: str
    rule: str


class HoldLine(msgspec.Struct):
    """A stretch of the wait that one owner held."""

    owner: str
    since: str
    until: str
    seconds: float


class LevelLine(msgspec.Struct):
    """What one level says of a turn."""

    level: str
    due_at: str
    result: str
    credited_to: str
    rule: str


class TurnAccount(msgspec.Struct):
    """One turn: who waited from when to when, in calendar and in business time."""

    turn: int
    opened_at: str
    ended_at: str | None
    ending: str
    responder: str | None
    wait_seconds: float
    business_seconds: float
    holds: list[HoldLine]
    levels: list[LevelLine]


class RequestAccount(msgspec.Struct):
    """All that is known of a request."""

    request_id: str
    customer_id: str
    as_of: str
    facts: list[FactLine]
    turns: list[TurnAccount]


class OpportunityAccount(msgspec.Struct):
    """All that is known of an opportunity."""

    opportunity_id: str
    customer_id: str
    as_of: str
    pipeline: str
    facts: list[FactLine]
    reached: dict[str, str]
    visited: dict[str, str]
    close: str | None
    first_follow_up: str | None
    cycle_seconds: float | None


def explain_request(ledger: Ledger, request_id: str, as_of_us: int) -> list[RequestAccount]:
    """The accounts of every customer's request of this id: usually one, none if it was never seen."""
    ledger.settle()
    found = ((customer, (customer.requests or {}).get(request_id)) for customer in ledger.customers.values())
    return [_request(ledger, customer, request, as_of_us) for customer, request in found if request is not None]


def explain_opportunity(
    ledger: Ledger, opportunity_id: str, as_of_us: int, pipelines: dict[str, tuple[str, ...]]
) -> list[OpportunityAccount]:
    """The accounts of every customer's opportunity of this id."""
    ledger.settle()
    found = ((customer, (customer.opportunities or {}).get(opportunity_id)) for customer in ledger.customers.values())
    return [
        _opportunity(customer, root, as_of_us, pipelines) for customer, root in found if root is not None and root.facts
    ]


def _request(ledger: Ledger, customer: Customer, request: Request, as_of_us: int) -> RequestAccount:
    copy = Request(request.request_id, request.facts)
    turns = [*copy.walk(customer.unlinked)]
    if copy.turn is not None:
        turns.append(copy.turn)
    return RequestAccount(
        request_id=request.request_id,
        customer_id=customer.customer_id,
        as_of=rfc3339(as_of_us),
        facts=list(_request_facts(ledger, customer, request, turns)),
        turns=[_turn(ledger.alerts, turn, as_of_us) for turn in turns],
    )


def _request_facts(ledger: Ledger, customer: Customer, request: Request, turns: list[Turn]) -> Iterator[FactLine]:
    mine = [fact for *_, fact in request.facts]
    entries = customer.unlinked.entries if customer.unlinked is not None else []
    unlinked = [fact for *_, fact in entries if any(answers(fact, turn) for turn in turns)]
    gone = [
        event
        for event_id in ledger.retracted
        if (event := ledger.facts.get(event_id)) is not None
        and event.customer_id == customer.customer_id
        and getattr(event, "request_id", None) == request.request_id
    ]
    known: list[tuple[ev.Event, tuple[str, str]]] = [(fact, _effect(fact, turns)) for fact in [*mine, *unlinked]]
    known += [(event, ("retracted: it never was", "S17")) for event in gone]
    for event, (effect, rule) in sorted(known, key=lambda pair: (pair[0].occurred_at, pair[0].event_id)):
        yield _line(event, effect, rule)


def _line(event: ev.Event, effect: str, rule: str) -> FactLine:
    tag = str(type(event).__struct_config__.tag)
    return FactLine(rfc3339(instant_us(event.occurred_at)), event.event_id, tag, effect, rule)


def _effect(fact: ev.Event, turns: list[Turn]) -> tuple[str, str]:
    """What a request's fact did, and by which rule."""
    at_us = instant_us(fact.occurred_at)
    match fact:
        case ev.RequestOpened(automated=True):
            return "an automated message opens no turn", "S04"
        case ev.RequestOpened():
            started = [turn.number for turn in turns if turn.opener is fact]
            return (f"opens turn {started[0]}", "S01") if started else ("the customer was waiting already", "S02")
        case ev.RequestAssigned(rep_id=rep_id):
            return f"from now on {rep_id or 'nobody'} holds it; the wait goes on", "S07"
        case ev.RequestAnswered() if not qualifies(fact):
            return "no person's message to the customer: answers nothing", "S03"
        case ev.RequestAnswered() | ev.RequestClosed():
            ended = [turn.number for turn in turns if turn.ending is not None and turn.end_us == at_us]
            how, rule = ("answers", "S01") if isinstance(fact, ev.RequestAnswered) else ("closes", "S06")
            return (f"{how} turn {ended[0]}", rule) if ended else ("nothing was unanswered", rule)
        case _:
            return "", ""


def _turn(alerts: Alerts, turn: Turn, as_of_us: int) -> TurnAccount:
    end_us = turn.end_us if turn.ending is not None else as_of_us
    until = Turn(turn.number, turn.opener, turn.start_us, turn.owner, turn.changes, end_us)
    return TurnAccount(
        turn=turn.number,
        opened_at=rfc3339(turn.start_us),
        ended_at=rfc3339(turn.end_us) if turn.ending is not None else None,
        ending=turn.ending or "waiting",
        responder=turn.responder or None,
        wait_seconds=(end_us - turn.start_us) / SECOND_US,
        business_seconds=alerts.business_us(until) / SECOND_US,
        holds=[
            HoldLine(hold.owner, rfc3339(hold.from_us), rfc3339(hold.to_us), (hold.to_us - hold.from_us) / SECOND_US)
            for hold in turn.holds(end_us)
        ],
        levels=[_level(turn, level, due_us, end_us) for level, due_us, _ in alerts.due(turn)],
    )


def _level(turn: Turn, level: str, due_us: int, end_us: int) -> LevelLine:
    due_at = rfc3339(due_us)
    if turn.ending in ("spam", "withdrawn"):
        return LevelLine(level, due_at, f"not counted: {turn.ending}", "nobody", "S06")
    if end_us > due_us:
        return LevelLine(level, due_at, "missed", turn.owner_at(due_us), "S08")
    if turn.ending == "answered":
        return LevelLine(level, due_at, "met", turn.responder, "S09")
    return LevelLine(level, due_at, "not due" if turn.ending is None else "closed before", "nobody", "S06")


def _opportunity(
    customer: Customer, root: Opportunity, as_of_us: int, pipelines: dict[str, tuple[str, ...]]
) -> OpportunityAccount:
    course = course_of(root, pipelines, customer.touches or [])
    stages, close, created = pipelines.get(course.pipeline, ()), course.close, course.created
    cycle_us = None
    if close is not None and created is not None and close.at_us >= created.at_us:
        cycle_us = close.at_us - (created.at_us if close.follow_up_us is None else close.follow_up_us)
    follow_up = close.follow_up_us if close is not None else None
    return OpportunityAccount(
        opportunity_id=root.opportunity_id,
        customer_id=customer.customer_id,
        as_of=rfc3339(as_of_us),
        pipeline=course.pipeline,
        facts=[_line(fact, *_selling_effect(fact, stages)) for *_, fact in root.facts],
        reached={stage: f"{rfc3339(m.at_us)} by {m.rep_id}" for stage, m in zip(stages, course.reached, strict=False)},
        visited={stage: f"{rfc3339(mark.at_us)} by {mark.rep_id}" for stage, mark in course.visited},
        close=None if close is None else f"{'won' if close.won else 'lost'} {rfc3339(close.at_us)} by {close.rep_id}",
        first_follow_up=None if follow_up is None else rfc3339(follow_up),
        cycle_seconds=None if cycle_us is None else cycle_us / SECOND_US,
    )


def _selling_effect(fact: ev.OpportunityFact, stages: tuple[str, ...]) -> tuple[str, str]:
    match fact:
        case ev.OpportunityCreated(pipeline=pipeline):
            return f"created in pipeline {pipeline}", "S23"
        case ev.OpportunityStageEntered(stage=stage) if stage not in stages:
            return f"stage {stage} is of another pipeline: counts for nothing", "S22"
        case ev.OpportunityStageEntered(stage=stage):
            return f"enters {stage}, which implies all stages before it", "S20"
        case ev.OpportunityReopened():
            return "withdraws an earlier close", "S24"
        case ev.OpportunityAssigned(rep_id=rep_id):
            return f"{rep_id} owns it from now on", "S08"
        case ev.OpportunityWon() | ev.OpportunityLost():
            return "closes it, unless it is reopened later", "S24"
