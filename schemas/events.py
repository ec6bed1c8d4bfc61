"""CRM events on `crm.events`, and the directory of reps on `crm.reps`.

One JSON object per message, a tagged union on `type`. Unknown fields are ignored; everything else that does not fit
is an error with the path of the field. Instants are RFC 3339 with an offset. Events are facts: they are never edited,
only added to, and two messages of one `event_id` are the same fact.
"""

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.views import UNASSIGNED

Id = Annotated[str, Meta(min_length=1, max_length=128, description="an identifier of 1 to 128 characters")]
ShortText = Annotated[str, Meta(min_length=1, max_length=128, description="a free word of 1 to 128 characters")]
_CONTROL = r"\u0000-\u001f\u007f-\u009f"
REP_ID_PATTERN = rf"[^{_CONTROL}]*[^\s{_CONTROL}][^{_CONTROL}]*"
"""Not blank, no control characters. Only the directory is held to it: in events, to look costs more than to decode."""
RepId = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        description="an identifier of 1 to 128 characters, not blank and without control characters",
        # What holds for new entries must not keep anybody from reading those that are published already.
        extra_json_schema={"pattern": f"^{REP_ID_PATTERN}$", "not": {"const": UNASSIGNED}},
    ),
]
Instant = Annotated[
    datetime,
    Meta(
        tz=True,
        description="RFC 3339 with an offset",
        extra_json_schema={"pattern": "([Zz]|[+-][0-9]{2}:[0-9]{2})$"},  # validators rarely look at `format`
    ),
]
if TYPE_CHECKING:
    Money = Decimal
else:

    class _Decimals(type):
        """Its classes have all decimals as their instances; an abstract class would take as long as all else."""

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, Decimal)

    class Money(metaclass=_Decimals):
        """A Decimal that the codec reads: msgspec would take whatever Python does, such as `1_0` and Arabic digits."""


AMOUNT_PATTERN = r"-?([0-9]{1,12}(\.[0-9]{1,2})?|10{12}(\.00?)?)"
"""At most 10^12, and two decimal places."""
Amount = Annotated[
    Money,
    Meta(
        description="a decimal string or number with at most 2 places, in the configured currency",
        extra_json_schema={"pattern": f"^{AMOUNT_PATTERN}$", "minimum": -(10**12), "maximum": 10**12},
    ),
]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217; absent: the configured one")]
Seconds = Annotated[float, Meta(ge=0)]

Priority = Literal["low", "normal", "high", "urgent"]
CloseReason = Literal["resolved", "withdrawn", "spam", "no_reply_needed"]
CostKind = Literal["acquisition", "retention", "other"]
Entity = Literal["request", "opportunity", "customer", "activity"]


class Fact(msgspec.Struct, tag_field="type", kw_only=True, gc=False, omit_defaults=True):
    """What every customer-bound event says. `customer_id` is the message key: it decides partition and worker."""

    event_id: Id
    occurred_at: Instant
    customer_id: Id
    source: ShortText | None = None


class RequestOpened(Fact, tag="request.opened"):
    """A customer's message. It opens a turn while nothing is unanswered (S01, S02)."""

    request_id: Id
    channel: ShortText
    rep_id: Id | None = None
    topic: ShortText | None = None
    priority: Priority = "normal"
    automated: bool = False


class RequestAnswered(Fact, tag="request.answered"):
    """A response. Without `request_id` it answers what this customer has open on `channel` (S05)."""

    rep_id: Id
    request_id: Id | None = None
    channel: ShortText | None = None
    automated: bool = False
    internal: bool = False


class RequestAssigned(Fact, tag="request.assigned"):
    """A new owner of a request; no `rep_id`: unassigned (S07)."""

    request_id: Id
    rep_id: Id | None = None


class RequestClosed(Fact, tag="request.closed"):
    """The end of a request without a further answer (S06)."""

    request_id: Id
    reason: CloseReason


class ActivityLogged(Fact, tag="activity.logged"):
    """Something a rep did with a customer (S19)."""

    rep_id: Id
    kind: ShortText
    recontactable: bool = False
    duration_seconds: Seconds | None = None
    opportunity_id: Id | None = None


class OpportunityCreated(Fact, tag="opportunity.created"):
    """A new opportunity, in its pipeline before the first stage."""

    opportunity_id: Id
    rep_id: Id
    pipeline: ShortText = "default"
    segment: ShortText | None = None


class OpportunityStageEntered(Fact, tag="opportunity.stage_entered"):
    """An opportunity came into a stage (S20, S21)."""

    opportunity_id: Id
    rep_id: Id
    stage: ShortText


class OpportunityWon(Fact, tag="opportunity.won"):
    """A close with success."""

    opportunity_id: Id
    rep_id: Id
    amount: Amount | None = None
    currency: Currency | None = None


class OpportunityLost(Fact, tag="opportunity.lost"):
    """A close without success."""

    opportunity_id: Id
    rep_id: Id
    reason: ShortText | None = None


class OpportunityReopened(Fact, tag="opportunity.reopened"):
    """The withdrawal of an earlier close (S24)."""

    opportunity_id: Id
    rep_id: Id


class OpportunityAssigned(Fact, tag="opportunity.assigned"):
    """A new owner of an opportunity."""

    opportunity_id: Id
    rep_id: Id


class CustomerUpdated(Fact, tag="customer.updated"):
    """A customer's present segment and rep."""

    segment: ShortText | None = None
    rep_id: Id | None = None


class CustomerRevenue(Fact, tag="customer.revenue"):
    """Money from a customer; negative: a refund (S26)."""

    amount: Amount
    currency: Currency | None = None
    rep_id: Id | None = None


class CustomerCost(Fact, tag="customer.cost"):
    """Money spent on a customer (S26)."""

    amount: Amount
    kind: CostKind
    currency: Currency | None = None


class EventRetracted(Fact, tag="event.retracted"):
    """A correction: the fact `retracts` of the same customer never was. A retraction itself cannot be retracted."""

    retracts: Id
    entity: Entity
    entity_id: Id


class RepUpdated(msgspec.Struct, tag_field="type", tag="rep.updated", kw_only=True, gc=False, omit_defaults=True):
    """A rep's entry in the directory, on the compacted topic `crm.reps` keyed by `rep_id`: the latest one counts."""

    rep_id: RepId
    name: ShortText
    team: ShortText | None = None
    time_zone: ShortText | None = None
    active: bool = True
    event_id: Id | None = None
    occurred_at: Instant | None = None


RequestFact = RequestOpened | RequestAnswered | RequestAssigned | RequestClosed
OpportunityFact = (
    OpportunityCreated
    | OpportunityStageEntered
    | OpportunityWon
    | OpportunityLost
    | OpportunityReopened
    | OpportunityAssigned
)
CustomerFact = CustomerUpdated | CustomerRevenue | CustomerCost
Event = RequestFact | ActivityLogged | OpportunityFact | CustomerFact | EventRetracted
Message = Event | RepUpdated
