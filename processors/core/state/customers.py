"""One customer of a source partition, with all of its roots: a fact may concern several of them.

Every field has one writer, named beside it; everybody else only reads. (`ActivityFold` adds the newest touch in line.)
"""

from mypy_extensions import mypyc_attr

from processors.core.state.opportunities import Opportunity
from processors.core.state.order import Entry
from processors.core.state.qualified_days import QualifiedDays
from processors.core.state.requests import Request, UnlinkedAnswers
from processors.core.time.instants import LONG_AGO_US


@mypyc_attr(acyclic=True)
class Customer:
    """A customer's roots. Collections are made with their first entry: most customers need few of them."""

    __slots__ = (
        "answered",
        "corrections",
        "cost_cents",
        "customer_id",
        "facts",
        "late_answers",
        "money_facts",
        "newest_close_us",
        "newest_request_us",
        "newest_us",
        "open",
        "opportunities",
        "recontactable",
        "requests",
        "retracted",
        "revenue_cents",
        "segments",
        "touches",
        "unlinked",
    )

    def __init__(self, customer_id: str) -> None:
        self.customer_id = customer_id
        # Written by `Ledger`.
        self.facts = 0
        """Facts that were accepted: with each, what is known grows by one version."""
        self.newest_us = LONG_AGO_US
        # Written by `RequestFold`.
        self.requests: dict[str, Request] | None = None
        self.open: dict[str, Request] | None = None
        """Requests with an open turn."""
        self.newest_request_us = LONG_AGO_US
        self.unlinked: UnlinkedAnswers | None = None
        """Answers that name no request (S05)."""
        self.late_answers: list[tuple[Entry, bool]] | None = None
        """Answers that name no request and came out of order: to be added (or removed) at the next `refold`."""
        # Written by `TurnContributions`.
        self.answered: dict[str, QualifiedDays] | None = None
        # Written by `OpportunityFold`.
        self.opportunities: dict[str, Opportunity] | None = None
        self.newest_close_us = LONG_AGO_US
        self.touches: list[int] | None = None
        """Instants of the activities that name no opportunity, ascending: any may be a first follow-up (S24)."""
        # Written by `ActivityFold`.
        self.recontactable: dict[str, QualifiedDays] | None = None
        # Written by `Retractions`.
        self.retracted: dict[str, int] | None = None
        """event_id of a retracted fact to the number of its retractions (S17). The fact may not have come yet."""
        self.corrections: dict[str, int] | None = None
        """request_id to the instant of the newest retraction of one of its facts; `""`: of an answer to no request."""
        # Written by `LifetimeValueFold`.
        self.segments: list[tuple[int, str, str]] | None = None
        """(instant, event_id, segment), in order: the last one is the present segment (S26)."""
        self.money_facts = 0
        self.revenue_cents = 0
        self.cost_cents = 0

    def corrected_us(self, request_id: str) -> int:
        """When a retraction last changed a request, or may have."""
        if self.corrections is None:
            return LONG_AGO_US
        return max(self.corrections.get(request_id, LONG_AGO_US), self.corrections.get("", LONG_AGO_US))
