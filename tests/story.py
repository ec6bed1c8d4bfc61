"""Short words for events, so that a test reads as what happened.

Instants are minutes after Monday 2 March 2026, 08:00 UTC.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from processors.core.reports.replay import replay
from processors.core.time.instants import instant_us
from schemas import events as ev
from schemas.events import CloseReason, CostKind, Entity, Event, Message
from schemas.policy import DEFAULT_POLICY, Policy

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR, DAY = 60, 24 * 60

_ids: Iterator[int] = count(1)


def at(minute: float) -> datetime:
    """The instant of a minute."""
    return START + timedelta(minutes=minute)


def _head(minute: float, customer: str, event_id: str | None) -> dict[str, Any]:
    return {"event_id": event_id or f"e{next(_ids):06d}", "occurred_at": at(minute), "customer_id": customer}


def opened(
    minute: float, request: str = "r1", *, customer: str = "c1", event_id: str | None = None, **more: Any
) -> ev.RequestOpened:
    """A customer writes."""
    more.setdefault("channel", "email")
    return ev.RequestOpened(request_id=request, **more, **_head(minute, customer, event_id))


def answered(
    minute: float,
    rep: str = "alice",
    request: str | None = "r1",
    *,
    customer: str = "c1",
    event_id: str | None = None,
    **more: Any,
) -> ev.RequestAnswered:
    """A rep answers."""
    return ev.RequestAnswered(rep_id=rep, request_id=request, **more, **_head(minute, customer, event_id))


def assigned(
    minute: float, rep: str | None, request: str = "r1", *, customer: str = "c1", event_id: str | None = None
) -> ev.RequestAssigned:
    """A request changes hands."""
    return ev.RequestAssigned(rep_id=rep, request_id=request, **_head(minute, customer, event_id))


def closed(
    minute: float, reason: CloseReason, request: str = "r1", *, customer: str = "c1", event_id: str | None = None
) -> ev.RequestClosed:
    """A request ends without an answer."""
    return ev.RequestClosed(reason=reason, request_id=request, **_head(minute, customer, event_id))


def activity(
    minute: float, rep: str = "alice", *, customer: str = "c1", event_id: str | None = None, **more: Any
) -> ev.ActivityLogged:
    """A rep does something."""
    more.setdefault("kind", "call")
    return ev.ActivityLogged(rep_id=rep, **more, **_head(minute, customer, event_id))


def created(
    minute: float,
    rep: str = "alice",
    opportunity: str = "o1",
    *,
    customer: str = "c1",
    event_id: str | None = None,
    **more: Any,
) -> ev.OpportunityCreated:
    """An opportunity begins."""
    return ev.OpportunityCreated(opportunity_id=opportunity, rep_id=rep, **more, **_head(minute, customer, event_id))


def stage(
    minute: float,
    name: str,
    rep: str = "alice",
    opportunity: str = "o1",
    *,
    customer: str = "c1",
    event_id: str | None = None,
) -> ev.OpportunityStageEntered:
    """An opportunity enters a stage."""
    head = _head(minute, customer, event_id)
    return ev.OpportunityStageEntered(opportunity_id=opportunity, rep_id=rep, stage=name, **head)


def won(
    minute: float,
    rep: str = "alice",
    opportunity: str = "o1",
    *,
    customer: str = "c1",
    event_id: str | None = None,
    **more: Any,
) -> ev.OpportunityWon:
    """An opportunity is won."""
    return ev.OpportunityWon(opportunity_id=opportunity, rep_id=rep, **more, **_head(minute, customer, event_id))


def lost(
    minute: float, rep: str = "alice", opportunity: str = "o1", *, customer: str = "c1", event_id: str | None = None
) -> ev.OpportunityLost:
    """An opportunity is lost."""
    return ev.OpportunityLost(opportunity_id=opportunity, rep_id=rep, **_head(minute, customer, event_id))


def reopened(
    minute: float, rep: str = "alice", opportunity: str = "o1", *, customer: str = "c1"
) -> ev.OpportunityReopened:
    """A close is withdrawn."""
    return ev.OpportunityReopened(opportunity_id=opportunity, rep_id=rep, **_head(minute, customer, None))


def segment(minute: float, name: str, *, customer: str = "c1", event_id: str | None = None) -> ev.CustomerUpdated:
    """A customer is put into a segment."""
    return ev.CustomerUpdated(segment=name, **_head(minute, customer, event_id))


def revenue(minute: float, amount: Any, *, customer: str = "c1", **more: Any) -> ev.CustomerRevenue:
    """Money comes in, or goes back."""
    return ev.CustomerRevenue(amount=Decimal(amount), **more, **_head(minute, customer, None))


def cost(minute: float, amount: Any, kind: CostKind = "other", *, customer: str = "c1") -> ev.CustomerCost:
    """Money is spent on a customer."""
    return ev.CustomerCost(amount=Decimal(amount), kind=kind, **_head(minute, customer, None))


def retracted(minute: float, event: Event, entity: Entity = "request", *, customer: str = "c1") -> ev.EventRetracted:
    """An earlier event never was."""
    head = _head(minute, customer, None)
    return ev.EventRetracted(retracts=event.event_id, entity=entity, entity_id="any", **head)


def rep(rep_id: str, team: str | None = None, time_zone: str | None = None) -> ev.RepUpdated:
    """A rep of the directory."""
    return ev.RepUpdated(rep_id=rep_id, name=rep_id.title(), team=team, time_zone=time_zone)


def report_of(*messages: Message, until: float | None = None, policy: Policy = DEFAULT_POLICY) -> dict[str, Any]:
    """The report after these messages, at a minute or at the newest event."""
    return replay(messages, policy, None if until is None else instant_us(at(until)))


def numbers(report: dict[str, Any], rep_id: str = "alice", window: str = "all") -> dict[str, Any]:
    """One rep's numbers."""
    found: dict[str, Any] = report["reps"][rep_id][window]
    return found
