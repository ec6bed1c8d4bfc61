"""One customer of a source partition: everything about it is in one place, for facts that concern several roots."""

import msgspec

from processors.core.distinct import Days
from processors.core.opportunities import Opportunity
from processors.core.requests import Entry, Request, Unlinked


class Customer(msgspec.Struct, gc=False):
    """A customer's roots. Collections come into being with their first entry: most customers need few of them."""

    customer_id: str
    facts: int = 0
    """Facts that were accepted: with each, what is known grows by one version."""
    newest_us: int = -(2**63)
    requests: dict[str, Request] | None = None
    open: dict[str, Request] | None = None
    """Requests with an open turn."""
    newest_request_us: int = -(2**63)
    unlinked: Unlinked | None = None
    """Answers that name no request (S05)."""
    late_answers: list[tuple[Entry, bool]] | None = None
    """Answers that name no request and came out of order: to be added (or taken out) at the next `settle`."""
    answered: dict[str, Days] | None = None
    opportunities: dict[str, Opportunity] | None = None
    newest_close_us: int = -(2**63)
    touches: list[int] | None = None
    """Instants of the activities that name no opportunity, ascending: any may be a first follow-up (S24)."""
    recontactable: dict[str, Days] | None = None
    segments: list[tuple[int, str, str]] | None = None
    """(instant, event_id, segment), in order: the last one is the present segment (S26)."""
    money_facts: int = 0
    revenue_cents: int = 0
    cost_cents: int = 0
