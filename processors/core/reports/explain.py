"""The account of a request: every fact seen, every interval counted, on whom, by which rule."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator

import msgspec

from processors.core.ledger.ledger import Ledger
from processors.core.ledger.ledger_view import LedgerView
from processors.core.state.customers import Customer
from processors.core.state.order import Entry
from processors.core.state.requests import Request, Turn, qualifies
from processors.core.time.instants import SECOND_US, instant_us, rfc3339
from schemas import events as ev


class FactLine(msgspec.Struct):
    """A fact, and what it did."""

    at: str
    event_id: str
    type: str
    effect: str
    rule: str


NOBODY = "nobody"
FactEffect = tuple[ev.Event, tuple[str, str]]
"""A fact with what it did and the rule."""
Retractions = dict[str, list[ev.EventRetracted]]
"""event_id to the retractions of it."""


class HoldLine(msgspec.Struct):
    """A stretch of the wait that one owner held, in calendar and in business time."""

    owner: str
    since: str
    until: str
    seconds: float
    business_seconds: float


class LevelLine(msgspec.Struct):
    """The outcome of one level of a turn."""

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
        self.opened_by = {turn.opener.event_id: turn.number for turn in self.turns}
        """event_id to the turn that it opened."""

        self._starts = [turn.start_us for turn in self.turns]

    def unlinked(self, customer: Customer) -> Iterator[Entry]:
        """The customer's answers that name no request and came while a turn was open."""
        entries = customer.unlinked.entries if customer.unlinked is not None else ()
        return (entry for entry in entries if self.waited(entry.at_us))

    def waited(self, at_us: int) -> bool:
        """Whether a turn was open at an instant."""
        number = bisect_right(self._starts, at_us)
        return number > 0 and (self.turns[number - 1].ending is None or at_us <= self.turns[number - 1].end_us)


def explain_request(ledger: Ledger, request_id: str, as_of_us: int) -> list[RequestAccount]:
    """The accounts of every customer's request of this id: usually one, none if it was never seen."""
    ledger.refold()
    named: dict[str, list[ev.Event]] = {}
    for fact in ledger.facts.values():
        # Those that were retracted as well.
        if getattr(fact, "request_id", None) == request_id:
            named.setdefault(fact.customer_id, []).append(fact)
    for fact in ledger.facts.values():
        if isinstance(fact, ev.RequestAnswered) and fact.request_id is None and fact.customer_id in named:
            named[fact.customer_id].append(fact)
    retractions = corrections(ledger, (fact for facts in named.values() for fact in facts))
    return [_account(ledger, Request(request_id, []), facts, retractions, as_of_us) for facts in named.values()]


def _account(
    ledger: Ledger, unknown: Request, named: list[ev.Event], retractions: Retractions, as_of_us: int
) -> RequestAccount:
    """The account of one customer's request; `unknown` stands for it when all of its facts were retracted."""
    customer = ledger.customers[named[0].customer_id]
    request = (customer.requests or {}).get(unknown.request_id, unknown)
    walk = _Walk(customer, request)
    counted = [entry.fact for entry in (*request.facts, *walk.unlinked(customer))]
    known: list[FactEffect] = [(fact, _effect(fact, walk)) for fact in counted]
    mine = (fact for fact in named if _is_named(fact) or walk.waited(instant_us(fact.occurred_at)))
    known += retracted_lines(mine, retractions)
    return RequestAccount(
        request_id=request.request_id,
        customer_id=customer.customer_id,
        as_of=rfc3339(as_of_us),
        facts=list(in_order(known)),
        turns=[_turn(ledger.view(), turn, as_of_us) for turn in walk.turns],
    )


def _is_named(fact: ev.Event) -> bool:
    """Whether it names the request, and is not an answer that names none."""
    return getattr(fact, "request_id", None) is not None


def corrections(ledger: Ledger, concerned: Iterable[ev.Event]) -> Retractions:
    """The retractions of these facts, each in the name of its customer."""
    customers = {fact.event_id: fact.customer_id for fact in concerned}
    found: Retractions = {}
    for fact in ledger.facts.values():
        if isinstance(fact, ev.EventRetracted) and customers.get(fact.retracts) == fact.customer_id:
            found.setdefault(fact.retracts, []).append(fact)
    return found


def in_order(known: list[FactEffect]) -> Iterator[FactLine]:
    """Lines in the order in which things occurred."""
    for event, (effect, rule) in sorted(known, key=lambda pair: (pair[0].occurred_at, pair[0].event_id)):
        tag = str(type(event).__struct_config__.tag)
        yield FactLine(rfc3339(instant_us(event.occurred_at)), event.event_id, tag, effect, rule)


def retracted_lines(facts: Iterable[ev.Event], retractions: Retractions) -> Iterator[FactEffect]:
    """Those of the facts that were retracted, and their retractions."""
    for fact in facts:
        if fact.event_id in retractions:
            first = min(retractions[fact.event_id], key=lambda one: (one.occurred_at, one.event_id))
            yield fact, (f"never was: {first.event_id} retracts it", "S17")
            for retraction in retractions[fact.event_id]:
                yield retraction, (f"retracts {fact.event_id}", "S17")


def _effect(fact: ev.RequestFact, walk: _Walk) -> tuple[str, str]:
    """What a request's fact did, and by which rule."""
    match fact:
        case ev.RequestOpened(automated=True):
            return "an automated message opens no turn", "S04"
        case ev.RequestOpened(rep_id=rep_id):
            holder = f"; {rep_id} holds it" if rep_id is not None else ""
            if fact.event_id in walk.opened_by:
                return (
                    f"opens turn {walk.opened_by[fact.event_id]} on {fact.channel}, priority {fact.priority}{holder}",
                    "S01",
                )
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


def _turn(view: LedgerView, turn: Turn, as_of_us: int) -> TurnAccount:
    end_us = turn.end_us if turn.ending is not None else max(as_of_us, turn.start_us)
    return TurnAccount(
        turn=turn.number,
        opened_at=rfc3339(turn.start_us),
        ended_at=rfc3339(turn.end_us) if turn.ending is not None else None,
        ending=turn.ending or "waiting",
        responder=turn.responder or None,
        owner=turn.owner_at(end_us),
        wait_seconds=(end_us - turn.start_us) / SECOND_US,
        business_seconds=view.business_us(turn, end_us) / SECOND_US,
        holds=[
            HoldLine(
                owner=hold.owner,
                since=rfc3339(hold.from_us),
                until=rfc3339(hold.to_us),
                seconds=(hold.to_us - hold.from_us) / SECOND_US,
                business_seconds=(view.business_us(turn, hold.to_us) - view.business_us(turn, hold.from_us))
                / SECOND_US,
            )
            for hold in turn.holds(end_us)
        ],
        levels=[_level(turn, level, due_us, end_us) for level, due_us, _ in view.due(turn)],
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
