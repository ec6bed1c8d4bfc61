"""The lifetime value of customers: revenue and cost by present segment (S26).

Segments are free names: the first of them are counted by themselves, those without room together as `_other`.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping
from typing import Final

from processors.core.folds.fold import Fold
from processors.core.state.customers import Customer
from processors.core.state.first_names import MAX_SEGMENTS, OTHER, FirstNames, without_room
from processors.core.state.money import cents
from schemas.errors import BadRecord, Reason
from schemas.events import CustomerCost, CustomerFact, CustomerRevenue, CustomerUpdated, OpportunityWon
from schemas.views import Segment

UNKNOWN_SEGMENT: Final = "unknown"
UNBOUNDED_SEGMENTS: Final = frozenset({UNKNOWN_SEGMENT, OTHER})
"""They have room whatever else there is."""


class LifetimeValueFold(Fold):
    """The segments of one source partition."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self.segments: dict[str, Segment] = {}
        """Of customers that there are, within bounds."""
        self._changed: set[str] = set()
        self._names = FirstNames(MAX_SEGMENTS)
        self._folded: dict[str, Segment] = {}
        """Those that are counted as `_other`."""

    def drain_changed(self) -> set[str]:
        """The names of segments that changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def mark_all(self) -> None:
        """Let every segment count as changed."""
        self._changed.update(self.segments)

    def check(self, fact: CustomerRevenue | CustomerCost | OpportunityWon) -> None:
        """Raises BadRecord for an amount that is not money, or in another currency than the configured one."""
        if fact.amount is None:
            return
        cents(fact.amount)
        if fact.currency is not None and fact.currency != self._currency:
            raise BadRecord(Reason.UNKNOWN_CURRENCY, f"{fact.currency} is not the configured {self._currency}")

    def add(self, customer: Customer, at_us: int, fact: CustomerFact) -> None:
        """Add a fact."""
        self._count(customer, -1)
        if isinstance(fact, CustomerUpdated):
            if fact.segment is not None:
                if customer.segments is None:
                    customer.segments = []
                insort(customer.segments, (at_us, fact.event_id, fact.segment))
        else:
            _add(customer, fact, 1)
        self._count(customer, 1)

    def remove(self, customer: Customer, at_us: int, fact: CustomerFact) -> None:
        """Take a fact back."""
        self._count(customer, -1)
        if not isinstance(fact, CustomerUpdated):
            _add(customer, fact, -1)
        elif customer.segments is not None and fact.segment is not None:
            entry = (at_us, fact.event_id, fact.segment)
            index = bisect_left(customer.segments, entry)
            if customer.segments[index : index + 1] == [entry]:
                del customer.segments[index]
        self._count(customer, 1)

    def _count(self, customer: Customer, sign: int) -> None:
        """Count a customer with any revenue or cost in its present segment, or no longer."""
        if not customer.money_facts:
            return
        name = customer.segments[-1][2] if customer.segments else UNKNOWN_SEGMENT
        segment = self._folded.get(name) or self.segments.get(name) or self._begin(name)
        count = Segment(sign, sign * customer.revenue_cents, sign * customer.cost_cents)
        add_segment(segment, count)
        self._changed.add(name)
        if name in self._folded:
            self._count_other(count)
        if not segment.customers:
            self._end(name)

    def _begin(self, name: str) -> Segment:
        """The first customer of a segment: it has room, or another one has none any more."""
        segment = self.segments[name] = Segment()
        last = None if name in UNBOUNDED_SEGMENTS else self._names.add(name)
        if last is not None:
            moved = self._folded[last] = self.segments.pop(last)
            self._count_other(moved)
            self._changed.add(last)
        return segment

    def _end(self, name: str) -> None:
        """A segment has no customers left, so that another one may have room."""
        if self._folded.pop(name, None) is None:
            self.segments.pop(name, None)
        first = None if name in UNBOUNDED_SEGMENTS else self._names.remove(name)
        if first is not None:
            moved = self.segments[first] = self._folded.pop(first)
            self._count_other(Segment(-moved.customers, -moved.revenue_cents, -moved.cost_cents))
            self._changed.add(first)

    def _count_other(self, count: Segment) -> None:
        other = self.segments.setdefault(OTHER, Segment())
        add_segment(other, count)
        if not other.customers:
            del self.segments[OTHER]
        self._changed.add(OTHER)


def add_segment(into: Segment, segment: Segment) -> None:
    """Add a segment's customers and money to another's."""
    into.customers += segment.customers
    into.revenue_cents += segment.revenue_cents
    into.cost_cents += segment.cost_cents


def sum_of_segments(parts: Iterable[Mapping[str, Segment]]) -> dict[str, Segment]:
    """The segments of several partitions by name, bounded as those of each one are."""
    sums: dict[str, Segment] = {}
    for part in parts:
        for name, segment in part.items():
            add_segment(sums.setdefault(name, Segment()), segment)
    folded = without_room([name for name in sums if name not in UNBOUNDED_SEGMENTS], MAX_SEGMENTS)
    for name in folded:
        add_segment(sums.setdefault(OTHER, Segment()), sums.pop(name))
    return dict(sorted(sums.items()))


def _add(customer: Customer, fact: CustomerRevenue | CustomerCost, sign: int) -> None:
    customer.money_facts += sign
    if isinstance(fact, CustomerRevenue):
        customer.revenue_cents += sign * cents(fact.amount)
    else:
        customer.cost_cents += sign * cents(fact.amount)
