"""What customers are worth: revenue and cost by present segment (S26)."""

from bisect import bisect_left, insort
from typing import Final

from processors.core.customers import Customer
from processors.core.folder import Folder
from processors.core.money import cents
from schemas.errors import BadRecord, Reason
from schemas.events import CustomerCost, CustomerFact, CustomerRevenue, CustomerUpdated, OpportunityWon
from schemas.views import Segment

UNKNOWN_SEGMENT: Final = "unknown"


class Worth(Folder):
    """The segments of one source partition."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self.segments: dict[str, Segment] = {}
        self.changed: set[str] = set()

    def check(self, fact: CustomerRevenue | CustomerCost | OpportunityWon) -> None:
        """Raises BadRecord for an amount that is not money, or in another currency than the configured one."""
        if fact.amount is None:
            return
        cents(fact.amount)
        if fact.currency is not None and fact.currency != self._currency:
            raise BadRecord(Reason.UNKNOWN_CURRENCY, f"{fact.currency} is not the configured {self._currency}")

    def take(self, customer: Customer, at_us: int, fact: CustomerFact) -> None:
        """Add a fact."""
        self.post(customer, -1)
        if isinstance(fact, CustomerUpdated):
            if fact.segment is not None:
                if customer.segments is None:
                    customer.segments = []
                insort(customer.segments, (at_us, fact.event_id, fact.segment))
        else:
            _add(customer, fact, 1)
        self.post(customer, 1)

    def remove(self, customer: Customer, at_us: int, fact: CustomerFact) -> None:
        """Take a fact back."""
        self.post(customer, -1)
        if not isinstance(fact, CustomerUpdated):
            _add(customer, fact, -1)
        elif customer.segments is not None and fact.segment is not None:
            entry = (at_us, fact.event_id, fact.segment)
            index = bisect_left(customer.segments, entry)
            if customer.segments[index : index + 1] == [entry]:
                del customer.segments[index]
        self.post(customer, 1)

    def segment(self, name: str) -> Segment | None:
        """A segment, if it has customers; one that has none left is forgotten: their names are free words."""
        segment = self.segments.get(name)
        if segment is not None and not segment.customers:
            del self.segments[name]
            return None
        return segment

    def post(self, customer: Customer, sign: int) -> None:
        """Count a customer with any revenue or cost in its present segment, or no longer."""
        if not customer.money_facts:
            return
        name = customer.segments[-1][2] if customer.segments else UNKNOWN_SEGMENT
        segment = self.segments.setdefault(name, Segment())
        segment.customers += sign
        segment.revenue_cents += sign * customer.revenue_cents
        segment.cost_cents += sign * customer.cost_cents
        self.changed.add(name)


def _add(customer: Customer, fact: CustomerRevenue | CustomerCost, sign: int) -> None:
    customer.money_facts += sign
    if isinstance(fact, CustomerRevenue):
        customer.revenue_cents += sign * cents(fact.amount)
    else:
        customer.cost_cents += sign * cents(fact.amount)
