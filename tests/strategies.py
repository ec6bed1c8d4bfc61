"""Small adversarial streams for Hypothesis: every event type, few subjects, many ties, corrections of all kinds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial

import msgspec
from hypothesis import strategies as st

from schemas import events as ev
from schemas.codec import encode
from schemas.events import Event, Message, RepUpdated
from schemas.policy import DEFAULT_POLICY, Level, Policy

POLICY = Policy(
    levels=(*DEFAULT_POLICY.levels, Level(name="5m", seconds=300)),
    pipelines={**DEFAULT_POLICY.pipelines, "partner": ("contacted", "qualified", "signed")},
)
"""A third level, and a second pipeline that shares a stage name with the first."""

REPS = ("r1", "r2", "r3", "r4")
ZONES = (None, "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago")
STAGES = (*POLICY.pipelines["default"], *POLICY.pipelines["partner"])
LONGEST = 14
"""Facts of a stream: most laws break in far fewer."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ANCHORS = tuple(
    datetime.fromisoformat(text)
    for text in (
        "2024-03-31T00:30:00Z",  # the night of summer time in Berlin
        "2024-03-10T06:30:00Z",  # and in New York
        "2024-03-30T23:59:59.999999Z",  # the last microsecond of a day
        "2024-03-24T12:00:00Z",  # a week before
        "2024-03-02T12:00:00Z",  # 29 days before
        "2024-03-01T00:00:00Z",  # 30 days before
        "2024-01-01T10:00:00Z",  # 90 days before
        "2023-04-01T00:00:00Z",  # 365 days before
        "2022-12-31T22:30:00Z",  # out of every window but the widest
    )
)
_HOUR_US = 3_600_000_000
OFFSETS_US = (
    *(0, 0, 0, 1, 1_000_000, 300_000_000, 300_000_001, 1_800_000_000),
    *(_HOUR_US - 1, _HOUR_US, _HOUR_US + 1, 2 * _HOUR_US, 11 * _HOUR_US),
    *(24 * _HOUR_US - 1, 24 * _HOUR_US, 24 * _HOUR_US + 1, 8 * 24 * _HOUR_US),
)


@dataclass(frozen=True)
class Stream:
    """Messages in one order of arrival, and the instant of the report (microseconds since 1970; None: the newest)."""

    messages: tuple[Message, ...]
    as_of_us: int | None

    @property
    def lines(self) -> list[str]:
        """The messages as JSON."""
        return [encode(message).decode() for message in self.messages]


_PLACE = {"event_id": st.just("-"), "occurred_at": st.just(ANCHORS[0])}
"""Set when the facts of a stream are put in their places."""
_rep_ids = st.sampled_from(("r1", "r1", *REPS))
_maybe_rep = st.sampled_from((None, *REPS))
_seldom = st.sampled_from((False, False, False, True))
_request = _PLACE | {
    "customer_id": st.sampled_from(("c1", "c1", "c2", "c3")),
    "request_id": st.sampled_from(("q1", "q1", "q2")),
}
_opportunity = _PLACE | {
    "customer_id": st.sampled_from(("c1", "c1", "c2")),
    "opportunity_id": st.sampled_from(("o1", "o1", "o2")),
    "rep_id": _rep_ids,
}
_customer = _PLACE | {"customer_id": st.sampled_from(("c1", "c2", "c3"))}
_amounts = st.one_of(
    st.integers(-200_000, 200_000).map(lambda cents: Decimal(cents) / 100),
    st.sampled_from((Decimal(0), Decimal("0.01"), Decimal(10) ** 12, -(Decimal(10) ** 12))),
)
_currencies = st.sampled_from((None, None, None, "USD", "EUR"))

_opened = st.builds(
    ev.RequestOpened,
    **_request,
    channel=st.sampled_from(("email", "email", "chat")),
    priority=st.sampled_from(("normal", "urgent")),
    rep_id=_maybe_rep,
    automated=_seldom,
)
_answered = st.builds(ev.RequestAnswered, **_request, rep_id=_rep_ids, automated=_seldom, internal=_seldom)
_unlinked = st.builds(
    ev.RequestAnswered,
    **_request | {"request_id": st.none()},
    rep_id=_rep_ids,
    channel=st.sampled_from((None, "email", "chat")),
)
_assigned = st.builds(ev.RequestAssigned, **_request, rep_id=_maybe_rep)
_closed = st.builds(
    ev.RequestClosed, **_request, reason=st.sampled_from(("resolved", "withdrawn", "spam", "no_reply_needed"))
)
_activity = st.builds(
    ev.ActivityLogged,
    **_customer,
    rep_id=_rep_ids,
    kind=st.sampled_from(("call", "email", "site visit")),
    recontactable=st.booleans(),
    opportunity_id=st.sampled_from((None, "o1", "o2", "o9")),
)
_created = st.builds(
    ev.OpportunityCreated,
    **_opportunity,
    pipeline=st.sampled_from(("default", "default", "partner", "partner", "no such pipeline")),
)
_entered = st.builds(
    ev.OpportunityStageEntered, **_opportunity, stage=st.sampled_from((*STAGES, *STAGES, "no such stage"))
)
_won = st.builds(ev.OpportunityWon, **_opportunity, amount=st.none() | _amounts, currency=_currencies)
_lost = st.builds(ev.OpportunityLost, **_opportunity)
_reopened = st.builds(ev.OpportunityReopened, **_opportunity)
_handed_over = st.builds(ev.OpportunityAssigned, **_opportunity)
_updated = st.builds(ev.CustomerUpdated, **_customer, segment=st.sampled_from((None, "smb", "enterprise")))
_revenue = st.builds(ev.CustomerRevenue, **_customer, amount=_amounts, currency=_currencies, rep_id=_maybe_rep)
_cost = st.builds(
    ev.CustomerCost,
    **_customer,
    amount=_amounts,
    currency=_currencies,
    kind=st.sampled_from(("acquisition", "retention", "other")),
)

REQUESTS = st.one_of(_opened, _opened, _answered, _unlinked, _assigned, _closed)
_opportunities = st.one_of(_created, _entered, _entered, _won, _lost, _reopened, _handed_over, _activity)
_customers = st.one_of(_updated, _revenue, _cost, _activity)
_themes = st.sampled_from(
    (REQUESTS, REQUESTS, _opportunities, _opportunities, _customers, REQUESTS | _opportunities | _customers)
)
_places = st.tuples(st.integers(0, 2), st.sampled_from(OFFSETS_US), st.sampled_from("bac"))
_reps = st.builds(
    RepUpdated,
    rep_id=_rep_ids,
    name=st.just("Someone"),
    team=st.sampled_from((None, "north", "south")),
    time_zone=st.sampled_from(ZONES),
)


@st.composite
def retractions(draw: st.DrawFn, events: Sequence[Event]) -> ev.EventRetracted:
    """A correction of one of the events, or of nothing; now and then in the name of another customer."""
    target = draw(st.sampled_from(events))
    return ev.EventRetracted(
        event_id="-",
        occurred_at=ANCHORS[0],
        customer_id=draw(st.sampled_from((*(target.customer_id,) * 4, "c1"))),
        retracts=draw(st.sampled_from((*(target.event_id,) * 6, "never seen"))),
        entity=draw(st.sampled_from(("request", "opportunity", "customer", "activity"))),
        entity_id="any",
    )


@st.composite
def streams(
    draw: st.DrawFn, longest: int = LONGEST, facts: st.SearchStrategy[Event] | None = None, most_anchors: int = 3
) -> Stream:
    """Events of every type, or of some, in an arbitrary order of arrival, reps among them."""
    anchors = draw(st.lists(st.sampled_from(ANCHORS), min_size=1, max_size=most_anchors))
    theme = draw(_themes) if facts is None else facts
    events: list[Event] = []
    for number, fact in enumerate(draw(st.integers(1, longest).flatmap(partial(_exactly, theme)))):
        events.append(_put(fact, number, anchors, draw(_places)))
    for _ in range(draw(st.sampled_from((0, 1, 2, 4)))):
        events.append(_put(draw(retractions(events)), len(events), anchors, draw(_places)))
    reps = draw(st.lists(_reps, max_size=5))
    cut = draw(st.integers(0, len(events)))
    as_of = draw(st.none() | st.builds(_later, st.sampled_from(anchors), st.sampled_from(OFFSETS_US)))
    as_of_us = None if as_of is None else (as_of - EPOCH) // timedelta(microseconds=1)
    return Stream((*events[:cut], *reps, *events[cut:]), as_of_us)


def _exactly(facts: st.SearchStrategy[Event], count: int) -> st.SearchStrategy[list[Event]]:
    """Every length is as likely: plain lists are mostly short."""
    return st.lists(facts, min_size=count, max_size=count)


def _later(anchor: datetime, offset_us: int) -> datetime:
    return anchor + timedelta(microseconds=offset_us)


def _put(fact: Event, number: int, anchors: Sequence[datetime], place: tuple[int, int, str]) -> Event:
    """The fact with its instant and an event_id of its own, whose order has nothing to do with the instant."""
    anchor, offset_us, letter = place
    occurred_at = _later(anchors[anchor % len(anchors)], offset_us)
    return msgspec.structs.replace(fact, event_id=f"{letter}{number}", occurred_at=occurred_at)
