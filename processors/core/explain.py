"""The account of a request: every fact seen, every interval counted, on whom, by which rule."""

from collections.abc import Iterable, Iterator

import msgspec

from processors.core.alerts import Alerts
from processors.core.customers import Customer
from processors.core.instants import SECOND_US, instant_us, rfc3339
from processors.core.ledger import Ledger
from processors.core.order import Entry
from processors.core.requests import Request, Turn, qualifies
from schemas import events as ev


class FactLine(msgspec.Struct):
    """A fact, and what it did."""

    at: str
    event_id: str
    type: str
    effect: str
    rule: str


NOBODY = "nobody"
Told = tuple[ev.Event, tuple[str, str]]
"""A fact with what it did and the rule."""


class HoldLine(msgspec.Struct):
    """A stretch of the wait that one owner held, in calendar and in business time."""

    owner: str
    since: str
    until: str
    seconds: float
    business_seconds: float


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
    owner: str
    """The owner at its end, or now."""
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


class _Walk:
    """A request walked once more, with what each fact did."""

    def __init__(self, customer: Customer, request: Request) -> None:
        copy = Request(request.request_id, request.facts)
        self.turns: list[Turn] = []
        self.ended_by: dict[str, int] = {}
        """event_id to the turn that it ended."""
        for turn in copy.walk(customer.unlinked):
            self.turns.append(turn)
            if copy.ended is not None:
                self.ended_by[copy.ended.fact.event_id] = turn.number
        if copy.turn is not None:
            self.turns.append(copy.turn)

    def unlinked(self, customer: Customer) -> Iterator[Entry]:
        """The customer's answers that name no request and came while a turn was open."""
        for entry in customer.unlinked.entries if customer.unlinked is not None else ():
            for turn in self.turns:
                if turn.start_us <= entry.at_us and (turn.ending is None or entry.at_us <= turn.end_us):
                    yield entry
                    break


def explain_request(ledger: Ledger, request_id: str, as_of_us: int) -> list[RequestAccount]:
    """The accounts of every customer's request of this id: usually one, none if it was never seen."""
    ledger.settle()
    accounts = []
    for customer_id in _customers(ledger, request_id):
        customer = ledger.customers[customer_id]
        request = (customer.requests or {}).get(request_id) or Request(request_id, [])
        walk = _Walk(customer, request)
        accounts.append(
            RequestAccount(
                request_id=request_id,
                customer_id=customer_id,
                as_of=rfc3339(as_of_us),
                facts=list(_request_facts(ledger, customer, request, walk)),
                turns=[_turn(ledger.alerts, turn, as_of_us) for turn in walk.turns],
            )
        )
    return accounts


def _customers(ledger: Ledger, request_id: str) -> list[str]:
    """The customers of whom a fact names this request, also one that was retracted."""
    named = (fact.customer_id for fact in ledger.facts.values() if getattr(fact, "request_id", None) == request_id)
    return list(dict.fromkeys(named))


def corrections(ledger: Ledger, customer: Customer, concerned: set[str]) -> dict[str, list[ev.EventRetracted]]:
    """event_id to the retractions of it, in the name of its customer."""
    found: dict[str, list[ev.EventRetracted]] = {}
    for fact in ledger.facts.values():
        mine = isinstance(fact, ev.EventRetracted) and fact.customer_id == customer.customer_id
        if isinstance(fact, ev.EventRetracted) and mine and fact.retracts in concerned:
            found.setdefault(fact.retracts, []).append(fact)
    return found


def in_order(known: list[Told]) -> Iterator[FactLine]:
    """Lines in the order in which things occurred."""
    for event, (effect, rule) in sorted(known, key=lambda pair: (pair[0].occurred_at, pair[0].event_id)):
        tag = str(type(event).__struct_config__.tag)
        yield FactLine(rfc3339(instant_us(event.occurred_at)), event.event_id, tag, effect, rule)


def retracted_lines(facts: Iterable[ev.Event], retractions: dict[str, list[ev.EventRetracted]]) -> Iterator[Told]:
    """What never was, and what says so."""
    for fact in facts:
        first = min(retractions[fact.event_id], key=lambda one: (one.occurred_at, one.event_id))
        yield fact, (f"never was: {first.event_id} retracts it", "S17")
        for retraction in retractions[fact.event_id]:
            yield retraction, (f"retracts {fact.event_id}", "S17")


def _request_facts(ledger: Ledger, customer: Customer, request: Request, walk: _Walk) -> Iterator[FactLine]:
    named = [
        fact
        for fact in ledger.facts.values()
        if fact.customer_id == customer.customer_id and getattr(fact, "request_id", None) == request.request_id
    ]
    retractions = corrections(ledger, customer, {fact.event_id for fact in named})
    counted = [entry.fact for entry in (*request.facts, *walk.unlinked(customer))]
    known: list[Told] = [(fact, _effect(fact, walk)) for fact in counted]
    known += retracted_lines([fact for fact in named if fact.event_id in retractions], retractions)
    yield from in_order(known)


def _effect(fact: ev.RequestFact, walk: _Walk) -> tuple[str, str]:
    """What a request's fact did, and by which rule."""
    match fact:
        case ev.RequestOpened(automated=True):
            return "an automated message opens no turn", "S04"
        case ev.RequestOpened(rep_id=rep_id):
            started = [turn.number for turn in walk.turns if turn.opener is fact]
            holder = f"; {rep_id} holds it" if rep_id is not None else ""
            if started:
                return f"opens turn {started[0]} on {fact.channel}, priority {fact.priority}{holder}", "S01"
            return f"the customer was waiting already{holder}", "S02"
        case ev.RequestAssigned(rep_id=rep_id):
            return f"from now on {rep_id or 'nobody'} holds it; the wait goes on", "S07"
        case ev.RequestAnswered() if not qualifies(fact):
            return f"{'automated' if fact.automated else 'internal'}: answers nothing", "S03"
        case ev.RequestAnswered() | ev.RequestClosed():
            return _ending(fact, walk.ended_by.get(fact.event_id))


def _ending(fact: ev.RequestAnswered | ev.RequestClosed, turn: int | None) -> tuple[str, str]:
    if isinstance(fact, ev.RequestClosed):
        done = f"closes turn {turn} without an answer" if turn is not None else "nothing was unanswered"
        return f"{done}: {fact.reason}", "S06"
    unlinked = fact.request_id is None
    if turn is None:
        where = f" on {fact.channel}" if unlinked and fact.channel is not None else ""
        return f"{fact.rep_id} answers, but nothing was unanswered{where}", "S05" if unlinked else "S01"
    return f"{fact.rep_id} answers turn {turn}{', naming no request' if unlinked else ''}", "S05" if unlinked else "S01"


def _turn(alerts: Alerts, turn: Turn, as_of_us: int) -> TurnAccount:
    end_us = turn.end_us if turn.ending is not None else max(as_of_us, turn.start_us)
    return TurnAccount(
        turn=turn.number,
        opened_at=rfc3339(turn.start_us),
        ended_at=rfc3339(turn.end_us) if turn.ending is not None else None,
        ending=turn.ending or "waiting",
        responder=turn.responder or None,
        owner=turn.owner_at(end_us),
        wait_seconds=(end_us - turn.start_us) / SECOND_US,
        business_seconds=alerts.business_us(turn, end_us) / SECOND_US,
        holds=[
            HoldLine(
                owner=hold.owner,
                since=rfc3339(hold.from_us),
                until=rfc3339(hold.to_us),
                seconds=(hold.to_us - hold.from_us) / SECOND_US,
                business_seconds=(alerts.business_us(turn, hold.to_us) - alerts.business_us(turn, hold.from_us))
                / SECOND_US,
            )
            for hold in turn.holds(end_us)
        ],
        levels=[_level(turn, level, due_us, end_us) for level, due_us, _ in alerts.due(turn)],
    )


def _level(turn: Turn, level: str, due_us: int, end_us: int) -> LevelLine:
    due_at = rfc3339(due_us)
    if turn.ending in ("spam", "withdrawn"):
        return LevelLine(level, due_at, f"not counted: {turn.ending}", NOBODY, "S06")
    if end_us > due_us:
        return LevelLine(level, due_at, "missed", turn.owner_at(due_us), "S08")
    if turn.ending == "answered":
        return LevelLine(level, due_at, "met", turn.responder, "S09")
    if turn.ending is None:
        return LevelLine(level, due_at, "not due yet", NOBODY, "S14")
    return LevelLine(level, due_at, "closed before", NOBODY, "S06")
