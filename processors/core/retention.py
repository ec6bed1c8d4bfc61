"""How long facts are kept: as long as a window can see them (requests, activities), or their root lives.

| fact | kept |
|---|---|
| activities | the longest window and its slack |
| requests | the longest window and its slack after the request's newest fact, and while a turn is open |
| answers that name no request | as long as the customer has a request that began before |
| opportunities | `roots` after the opportunity's newest fact |
| revenue, cost, segment | `roots` after the customer's newest fact |

A request that was answered but never opened is an orphan after 7 days (S13).
"""

from processors.core.customers import Customer
from processors.core.instants import DAY_US, instant_us, moment
from schemas import events as ev
from schemas.errors import BadRecord, Reason

ORPHAN_AFTER_US = 7 * DAY_US
FACTS_PER_SWEEP = 5000
ORPHANS = frozenset({ev.RequestAnswered, ev.RequestAssigned, ev.RequestClosed})
"""What may come before its request."""

Dropped = tuple[Customer, ev.Event, BadRecord | None]


class Retention:
    """Which facts are too old. One for each ledger: it remembers how far its sweep has come."""

    def __init__(self, windows_us: int = 370 * DAY_US, roots_us: int = 400 * DAY_US) -> None:
        self.windows_us = windows_us
        self.roots_us = roots_us
        self._todo: list[str] = []
        self._next_us = -(2**63)

    @property
    def shortest_us(self) -> int:
        """Nothing younger than this is ever too late."""
        return min(self.windows_us, self.roots_us)

    @property
    def is_sweeping(self) -> bool:
        """Whether the present look at all facts is not finished."""
        return bool(self._todo)

    def too_late(self, customer: Customer, at_us: int, event: ev.Event, clock_us: int) -> bool:
        """Whether a fact that arrives now has no living root to belong to, and is too old to begin one."""
        match event:
            case ev.EventRetracted():
                return False
            case ev.ActivityLogged():
                return at_us < clock_us - self.windows_us
            case ev.RequestAnswered(request_id=None):
                return at_us < clock_us - self.windows_us and not customer.requests
            case ev.RequestOpened() | ev.RequestAnswered() | ev.RequestAssigned() | ev.RequestClosed():
                return at_us < clock_us - self.windows_us and event.request_id not in (customer.requests or ())
            case ev.CustomerUpdated() | ev.CustomerRevenue() | ev.CustomerCost():
                return at_us < clock_us - self.roots_us and not customer.facts
            case _:
                return at_us < clock_us - self.roots_us and event.opportunity_id not in (customer.opportunities or ())

    def sweep(self, facts: dict[str, ev.Event], customers: dict[str, Customer], now_us: int) -> list[Dropped]:
        """What to drop now: once a day all facts are looked at, a few thousand in one call."""
        if now_us >= self._next_us and not self._todo:
            self._todo, self._next_us = list(facts), now_us + DAY_US
        chunk = self._todo[-FACTS_PER_SWEEP:]
        del self._todo[-FACTS_PER_SWEEP:]
        old = moment(now_us - self.shortest_us)
        mature = moment(now_us - min(ORPHAN_AFTER_US, self.shortest_us))
        dropped: list[Dropped] = []
        for event in map(facts.get, chunk):
            # Most facts are young: to compare their instants as they are costs a tenth of the questions below.
            if event is None or event.occurred_at >= (mature if type(event) in ORPHANS else old):
                continue
            customer = customers[event.customer_id]
            if self._is_orphan(customer, event, now_us):
                dropped.append((customer, event, BadRecord(Reason.ORPHAN, "its request was not opened within 7 days")))
            elif self._is_expired(customer, event, now_us, facts):
                dropped.append((customer, event, None))
        return dropped

    def _is_expired(self, customer: Customer, event: ev.Event, now_us: int, facts: dict[str, ev.Event]) -> bool:
        windows_us, roots_us = now_us - self.windows_us, now_us - self.roots_us
        match event:
            case ev.ActivityLogged():
                return instant_us(event.occurred_at) < windows_us
            case ev.RequestAnswered(request_id=None):
                return self._is_forgotten(customer, instant_us(event.occurred_at), windows_us)
            case ev.RequestOpened() | ev.RequestAnswered() | ev.RequestAssigned() | ev.RequestClosed():
                request = (customer.requests or {}).get(event.request_id or "")
                return request is not None and request.turn is None and request.facts[-1][0] < windows_us
            case ev.CustomerUpdated() | ev.CustomerRevenue() | ev.CustomerCost():
                return customer.newest_us < roots_us
            case ev.EventRetracted():
                return customer.newest_us < roots_us and event.retracts not in facts
            case _:
                root = (customer.opportunities or {}).get(event.opportunity_id)
                return root is not None and bool(root.facts) and root.facts[-1][0] < roots_us

    @staticmethod
    def _is_forgotten(customer: Customer, at_us: int, windows_us: int) -> bool:
        """Whether an answer that names no request can concern no request any more."""
        began = (request.facts[0][0] for request in (customer.requests or {}).values() if request.facts)
        return at_us < windows_us and all(first_us > at_us for first_us in began)

    @staticmethod
    def _is_orphan(customer: Customer, event: ev.Event, now_us: int) -> bool:
        match event:
            case ev.RequestAnswered() | ev.RequestAssigned() | ev.RequestClosed():
                request = (customer.requests or {}).get(event.request_id or "")
                if request is None or instant_us(event.occurred_at) >= now_us - ORPHAN_AFTER_US:
                    return False
                return not any(isinstance(fact, ev.RequestOpened) for *_, fact in request.facts)
            case _:
                return False
