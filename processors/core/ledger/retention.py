"""How long facts are kept: as long as a window can see them (requests, activities), or their root lives.

| fact | kept |
|---|---|
| activities | the longest window and its slack, and while one is the first follow-up of a living opportunity |
| requests | the longest window and its slack after the request's newest fact or answer, and while a turn is open |
| answers that name no request | the same, and as long as the customer has a request that began before |
| opportunities | `roots` after the opportunity's newest fact |
| revenue, cost, segment | `roots` after the customer's newest fact |
| retracted facts | as long as their request or opportunity; then their own age counts |
| retractions | `roots`, and as long as what they retract |

A request or an opportunity leaves as a whole: half of one would give other numbers.
A request that was answered but never opened is an orphan after 7 days (S13).
"""

from typing import Final

from processors.core.state.customers import Customer
from processors.core.state.opportunities import Opportunity, first_follow_up_us
from processors.core.state.requests import Request
from processors.core.time.instants import DAY_US, FOREVER_US, LONG_AGO_US, instant_us, moment
from schemas import events as ev
from schemas.errors import BadRecord, Reason

ORPHAN_AFTER_US: Final = 7 * DAY_US
SWEEP_BATCH_SIZE = 5000
ORPHANS: Final = frozenset({ev.RequestAnswered, ev.RequestAssigned, ev.RequestClosed})
"""What may come before its request."""

Dropped = tuple[Customer, ev.Event, BadRecord | None]


class Retention:
    """Which facts are too old. One for each ledger: it remembers how far its sweep has come."""

    def __init__(
        self, windows_us: int = 370 * DAY_US, roots_us: int = 400 * DAY_US, orphans_us: int = ORPHAN_AFTER_US
    ) -> None:
        self.windows_us = windows_us
        self.roots_us = roots_us
        self.orphans_us = orphans_us
        self._todo: list[str] = []
        self._next_us = LONG_AGO_US

    @classmethod
    def of_days(cls, windows: int, roots: int, orphans_us: int = ORPHAN_AFTER_US) -> "Retention":
        """By days; those of windows are the longest one and its slack."""
        return cls(windows * DAY_US, roots * DAY_US, orphans_us)

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
        """What to drop now: all facts are looked at once a day, a few thousand a call. Everything must be refolded."""
        if now_us >= self._next_us and not self._todo:
            self._todo, self._next_us = list(facts), now_us + DAY_US
        chunk = self._todo[-SWEEP_BATCH_SIZE:]
        del self._todo[-SWEEP_BATCH_SIZE:]
        old = moment(now_us - self.shortest_us)
        mature = moment(now_us - min(self.orphans_us, self.shortest_us))
        sweep = _Sweep(facts, now_us - self.orphans_us, now_us - self.windows_us, now_us - self.roots_us)
        for event in map(facts.get, chunk):
            # Most facts are young: to compare their instants as they are costs a tenth of the questions below.
            if event is None or event.occurred_at >= (mature if type(event) in ORPHANS else old):
                continue
            customer = customers[event.customer_id]
            if event.occurred_at < old or not _was_opened(customer, event):
                sweep.look(customer, event)
        return sweep.dropped


def _was_opened(customer: Customer, event: ev.Event) -> bool:
    """Whether a request begins with a customer's message, as nearly all do: then none of its facts is an orphan."""
    request_id = event.request_id if isinstance(event, ev.RequestFact) else None
    request = (customer.requests or {}).get(request_id or "")
    return request is None or (bool(request.facts) and isinstance(request.facts[0].fact, ev.RequestOpened))


class _Sweep:
    """One look at some facts. The roots that they belong to are judged once, and dropped as a whole."""

    def __init__(self, facts: dict[str, ev.Event], orphans_us: int, windows_us: int, roots_us: int) -> None:
        """What is older than these instants goes: orphans, what windows see, roots."""
        self.dropped: list[Dropped] = []
        self._facts = facts
        self._orphans_us = orphans_us
        self._windows_us = windows_us
        self._roots_us = roots_us
        self._seen: set[tuple[str, str, str]] = set()
        self._follow_ups: dict[str, set[int]] = {}
        self._began_us: dict[str, int] = {}

    def look(self, customer: Customer, event: ev.Event) -> None:
        """Drop a fact, or all of the root that it belongs to, if it is too old to keep."""
        at_us = instant_us(event.occurred_at)
        if isinstance(event, ev.RequestFact) and event.request_id is not None:
            request = (customer.requests or {}).get(event.request_id)
            if request is not None:
                self._look_at_request(customer, request)
                return
        elif isinstance(event, ev.OpportunityFact):
            root = (customer.opportunities or {}).get(event.opportunity_id)
            if root is not None and root.facts:
                self._look_at_opportunity(customer, root)
                return
        if self._is_expired(customer, at_us, event):
            self.dropped.append((customer, event, None))

    def _is_expired(self, customer: Customer, at_us: int, event: ev.Event) -> bool:
        """Whether a fact without a root is too old."""
        match event:
            case ev.ActivityLogged():
                return at_us < self._windows_us and not self._is_follow_up(customer, at_us)
            case ev.RequestAnswered(request_id=None):
                return at_us < min(self._windows_us, self._first_us(customer))
            case ev.RequestOpened() | ev.RequestAnswered() | ev.RequestAssigned() | ev.RequestClosed():
                return at_us < self._windows_us
            case ev.CustomerUpdated() | ev.CustomerRevenue() | ev.CustomerCost():
                return customer.newest_us < self._roots_us
            case ev.EventRetracted():
                return at_us < self._roots_us and event.retracts not in self._facts
            case _:
                return at_us < self._roots_us

    def _look_at_request(self, customer: Customer, request: Request) -> None:
        if not self._is_new("request", customer, request.request_id):
            return
        if not any(isinstance(entry.fact, ev.RequestOpened) for entry in request.facts):
            self._drop_orphans(customer, request)
        elif request.turn is None and self._newest_us(customer, request) < self._windows_us:
            self.dropped += ((customer, entry.fact, None) for entry in request.facts)

    def _drop_orphans(self, customer: Customer, request: Request) -> None:
        for entry in request.facts:
            if entry.at_us < self._orphans_us:
                reason = BadRecord(Reason.ORPHAN, "its request was not opened within 7 days")
                self.dropped.append((customer, entry.fact, reason))

    def _look_at_opportunity(self, customer: Customer, root: Opportunity) -> None:
        if self._is_new("opportunity", customer, root.opportunity_id) and root.facts[-1].at_us < self._roots_us:
            self.dropped += ((customer, entry.fact, None) for entry in root.facts)

    def _is_new(self, kind: str, customer: Customer, root_id: str) -> bool:
        """Whether a root is looked at for the first time."""
        root = (kind, customer.customer_id, root_id)
        if root in self._seen:
            return False
        self._seen.add(root)
        return True

    def _newest_us(self, customer: Customer, request: Request) -> int:
        """The request's newest fact, or the answer that named no request and ended its last turn (S05)."""
        newest_us = request.facts[-1].at_us
        if (
            customer.unlinked is not None
            and customer.unlinked.entries
            and customer.unlinked.entries[-1].at_us >= self._windows_us
        ):
            ended = Request(request.request_id, request.facts).walk(customer.unlinked)
            newest_us = max([newest_us, *(turn.end_us for turn in ended)])
        return newest_us

    def _first_us(self, customer: Customer) -> int:
        """When the first of the customer's requests began: no earlier answer concerns any of them."""
        known = self._began_us.get(customer.customer_id)
        if known is None:
            began = (request.facts[0].at_us for request in (customer.requests or {}).values() if request.facts)
            known = self._began_us[customer.customer_id] = min(began, default=FOREVER_US)
        return known

    def _is_follow_up(self, customer: Customer, at_us: int) -> bool:
        """Whether the sales cycle of a living opportunity counts from this instant (S24)."""
        known = self._follow_ups.get(customer.customer_id)
        if known is None:
            roots = (customer.opportunities or {}).values()
            firsts = (_first_follow_up_us(root, customer.touches or []) for root in roots)
            known = self._follow_ups[customer.customer_id] = {first for first in firsts if first is not None}
        return at_us in known


def _first_follow_up_us(root: Opportunity, touches: list[int]) -> int | None:
    created = root.posted.created if root.posted is not None else None
    return None if created is None else first_follow_up_us(root.linked or [], touches, created.at_us)
