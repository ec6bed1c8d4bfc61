"""All facts of one source partition, and the numbers that they fold to.

State is the *set* of accepted facts: any order and any duplication of the same events gives the same numbers (S27). The
ledger reads no clock: time comes in through `advance`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from processors.core.folds.activity_fold import Activities
from processors.core.folds.activity_kinds import KindCounts
from processors.core.folds.alerts import NO_CLOCK_US, Alerts
from processors.core.folds.distinct_customers import Distinct
from processors.core.folds.lifetime_value_fold import Worth
from processors.core.folds.opportunity_fold import Pipeline
from processors.core.folds.request_fold import Waiting
from processors.core.folds.retractions import Retractions, is_retracted
from processors.core.folds.routes import Route, routes
from processors.core.folds.scoreboards import Desks
from processors.core.folds.turn_contributions import Verdicts
from processors.core.ledger.data_quality import NO_EXAMPLES, DataQuality, Days, day_range
from processors.core.ledger.identity import Applied, require_same
from processors.core.ledger.read_model_changes import Outbox
from processors.core.ledger.retention import Retention
from processors.core.state.customers import Customer
from processors.core.state.deadlines import Deadlines
from processors.core.state.directory import Directory
from processors.core.state.requests import Turn
from processors.core.time.instants import DAY_US, FOREVER_US, HOUR_US, LONG_AGO_US, SECOND_US, instant_us, rfc3339
from processors.core.time.zones import zone_days
from schemas.alerts import Transition
from schemas.errors import BadRecord, Reason
from schemas.events import Event, EventRetracted
from schemas.policy import Policy
from schemas.views import UNASSIGNED, Changes, OpenRequest

SKEW_US: Final = 300 * SECOND_US


class Ledger:
    """The numbers of one source partition. Only its owner calls it, one call at a time."""

    def __init__(
        self,
        policy: Policy,
        directory: Directory,
        retention: Retention | None = None,
        alerts_max_age_us: int = HOUR_US,
    ) -> None:
        self.facts: dict[str, Event] = _hashed()
        self.customers: dict[str, Customer] = _hashed()
        self.stream_us = LONG_AGO_US
        self.retention = retention
        self.desks = Desks(directory)
        self.alerts = Alerts(Deadlines(policy), self.desks, alerts_max_age_us)
        self._answered = Distinct("customers_answered", self.desks)
        self._recontactable = Distinct("recontactable_customers", self.desks)
        self._verdicts = Verdicts(self.desks, self.alerts, self._answered)
        self.waiting = Waiting(self.alerts, self._verdicts)
        self.pipeline = Pipeline(self.desks, policy.pipelines, zone_days(policy.time_zone))
        self.worth = Worth(policy.currency)
        self.activities = Activities(self.desks, self._recontactable, self.pipeline, KindCounts(policy.kinds))
        self._earliest_us, self._latest_us = LONG_AGO_US, FOREVER_US
        self.data_quality = DataQuality()
        self._outbox = Outbox(self.desks, self.waiting, self.worth, self.data_quality)
        self._rejected: list[tuple[Event, BadRecord]] = []
        self._expired: list[str] = []
        self._routes = routes(self.waiting, self.pipeline, self.activities, self.worth)
        self._routes[EventRetracted] = Route(Retractions(self.facts, self._routes))

    # -- facts in ---------------------------------------------------------------------------------

    def apply(self, event: Event) -> Applied:
        """Add a fact. Raises BadRecord when it cannot count: nothing has changed then."""
        return "applied" if self.add(event.event_id, event) else "duplicate"

    def add(self, event_id: str, event: Event) -> bool:
        """The same, for whoever has read its event_id; false for a duplicate."""
        before = len(self.facts)
        # One look-up, where nothing is in any cache: that of what is not there and that of its place are the same.
        known = self.facts.setdefault(event_id, event)
        if len(self.facts) == before:
            require_same(known, event)
            return False
        at_us = instant_us(event.occurred_at)
        customer_id = event.customer_id
        customer = self.customers.get(customer_id)
        if customer is None:
            customer = self.customers[customer_id] = Customer(customer_id)
        else:
            event.customer_id = customer.customer_id
        route = self._routes[type(event)]
        if route.check is not None or not self._earliest_us <= at_us <= self._latest_us:
            self._check(customer, at_us, event, route)
        route.count += 1
        customer.facts += 1
        if at_us > customer.newest_us:
            customer.newest_us = at_us
            if at_us > self.stream_us:
                self.stream_us = at_us
        if customer.retracted is None or not is_retracted(customer, event):
            route.folder.take(customer, at_us, event)
        return True

    def take_counts(self) -> dict[type[Event], int]:
        """How many events of each type were added since the last call."""
        counts: dict[type[Event], int] = {}
        for kind, route in self._routes.items():
            if route.count:
                counts[kind], route.count = route.count, 0
        return counts

    def _check(self, customer: Customer, at_us: int, event: Event, route: Route) -> None:
        """Raises BadRecord, and leaves everything as it was, for a fact that cannot count."""
        try:
            if not self._earliest_us <= at_us <= self._latest_us:
                self._refuse_odd(customer, at_us, event)
            if route.check is not None:
                route.check(event)
        except BadRecord:
            del self.facts[event.event_id]
            if not customer.facts:
                del self.customers[customer.customer_id]
            raise

    @property
    def quality(self) -> dict[int, dict[str, int]]:
        """Day (since 1970, UTC) to reason to count."""
        return self.data_quality.days

    def note(self, reason: str, day: int, more: int = 1) -> None:
        """Count something of the data quality on a day (days since 1970, UTC), or on the nearest that is kept (S29)."""
        self.data_quality.note(reason, day, more)

    def forget(self, event_id: str) -> bool:
        """Drop a fact as if it had never come, a retraction excepted; true if it was there."""
        fact = self.facts.get(event_id)
        if fact is None or isinstance(fact, EventRetracted):
            return False
        self._drop(self.customers[fact.customer_id], fact, None)
        return True

    # -- time -------------------------------------------------------------------------------------

    def set_clock(self, clock_us: int) -> None:
        """Say what time it is: facts more than 5 minutes ahead are refused (S28), and so are those past retention."""
        self.alerts.clock_us = clock_us
        self._latest_us = clock_us + SKEW_US
        if self.retention is not None:
            self._earliest_us = clock_us - self.retention.shortest_us
            self.data_quality.set_range(*day_range(clock_us, self.retention.windows_us))

    def advance(self, now_us: int, *, sweeping: bool = True) -> None:
        """Let time pass for this partition: deadlines, orphans, and what is too old to keep.

        `sweeping`: false while records wait, which may still belong to what is old.
        """
        self._fold()
        self.waiting.advance(now_us)
        if sweeping and self.retention is not None:
            for customer, fact, reason in self.retention.sweep(self.facts, self.customers, now_us):
                self._drop(customer, fact, reason)
                if reason is None:
                    self._expired.append(fact.event_id)
            self._fold()

    def begin(
        self,
        advanced_us: int,
        quality: Days,
        places: int | None = None,
        examples: Mapping[str, str] = NO_EXAMPLES,
    ) -> None:
        """After the facts were restored: time stands where it stood, and nothing of that is said again.

        What was due by then counts as said, and is followed up, however old it is. But when reps stand elsewhere
        than `places` says (`Desks.places`), something may have fallen due by that: recent alerts are said again.
        """
        self.reps_changed(list(self.desks.reps))
        self._fold()
        self.data_quality.restore(quality, examples)
        clock_us, self.alerts.clock_us = self.alerts.clock_us, NO_CLOCK_US
        self.alerts.begun_us = advanced_us + SKEW_US
        self.waiting.advance(advanced_us)
        self.alerts.clock_us = max(clock_us, advanced_us)
        self.alerts.forget_history(self.customers.values())
        self.alerts.take()
        if places is not None and places != self.desks.places:
            self.alerts.say_again(self.customers.values())
        self._verdicts.outcomes.clear()
        self.take_counts()
        self._rejected.clear()
        self.pipeline.rejected.clear()

    @property
    def advanced_us(self) -> int:
        """How far `advance` has come."""
        return self.alerts.now_us

    # -- results out ------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let the numbers say what the facts say. Every reader of numbers does this first."""
        self._fold()
        self._answered.settle()
        self._recontactable.settle()

    def _fold(self) -> None:
        """Fold what was withdrawn: whoever reads roots alone does only this first."""
        self.waiting.settle()
        self.pipeline.settle()
        self.activities.settle()
        for reason, days in (
            (Reason.UNLINKED, self.waiting.unlinked_days),
            (Reason.FOREIGN_STAGE, self.pipeline.foreign_days),
            (Reason.CYCLE_NEGATIVE, self.pipeline.negative_days),
        ):
            for day, more in days.items():
                self.data_quality.count(reason, day, more)
            days.clear()

    def take_transitions(self) -> list[Transition]:
        """Alert transitions since the last call."""
        self._fold()
        return self.alerts.take()

    def reconcile(self, former: Iterable[Transition]) -> None:
        """What a former owner said last of alerts, and these facts may not know of: all that is untrue is taken back.

        To be called when all facts are there, and time is as far as they are.
        """
        self._fold()
        for said in former:
            customer = self.customers.get(said.customer_id)
            request = (customer.requests or {}).get(said.request_id) if customer is not None else None
            if customer is None or request is None:
                self.alerts.disown(said)
            elif self.alerts.adopt(request, said):
                self.waiting.walk_again(customer, request)
        self._fold()

    def take_outcomes(self) -> dict[tuple[str, str, str], int]:
        """(team, level, met or missed) to how many more turns came to it since the last call.

        History is left out. A correction may give fewer: a negative number.
        """
        self._fold()
        outcomes, self._verdicts.outcomes = self._verdicts.outcomes, {}
        return outcomes

    def take_rejected(self) -> list[tuple[Event, BadRecord]]:
        """Facts that were accepted and turned out bad since the last call: they belong into the dead letters."""
        rejected = [*self._rejected, *self.pipeline.rejected]
        self._rejected, self.pipeline.rejected = [], []
        return rejected

    def take_expired(self) -> list[str]:
        """The event_ids of facts that were dropped since the last call as past retention."""
        expired, self._expired = self._expired, []
        return expired

    def take_changes(self) -> Changes:
        """The read model's fields that changed since the last call."""
        self.settle()
        return self._outbox.take(self.customers)

    def portions(self, most: int) -> Iterator[Changes]:
        """The same, at most so many fields at a time: facts and time may go on in between.

        Whoever does not take all of them has to call `mark_everything`.
        """
        self.settle()
        for changes in self._outbox.portions(self.customers, most):
            yield changes
            self.settle()

    def mark_everything(self) -> None:
        """Let the next changes be all fields of the read model."""
        self.settle()
        self._outbox.mark_all(self.customers)

    def everything(self) -> Changes:
        """All fields of the read model."""
        self.mark_everything()
        return self._outbox.take(self.customers)

    def open_requests(self) -> Iterator[OpenRequest]:
        """Who waits now."""
        self._fold()
        for customer in self.customers.values():
            for request in (customer.open or {}).values():
                view = self.waiting.view(customer, request)
                if view is not None:
                    yield view

    def turns(self) -> Iterator[Turn]:
        """All turns that ended."""
        self._fold()
        for customer in self.customers.values():
            for request in self.waiting.copies(customer):
                yield from request.walk(customer.unlinked)

    def passed_deadlines(self, as_of_us: int) -> Iterator[Transition]:
        """The last word on every deadline that was passed, from the facts alone."""
        self._fold()
        for customer in self.customers.values():
            for request in self.waiting.copies(customer):
                yield from self.alerts.passed_deadlines(customer, request, as_of_us)

    def sizes(self) -> dict[str, int]:
        """How many roots and facts there are."""
        everyone = self.customers.values()
        return {
            "facts": len(self.facts),
            "customers": len(self.customers),
            "requests": sum(len(customer.requests or ()) for customer in everyone),
            "open_requests": sum(len(customer.open or ()) for customer in everyone),
            "opportunities": sum(len(customer.opportunities or ()) for customer in everyone),
        }

    def reps_changed(self, rep_ids: Iterable[str]) -> None:
        """Reps may have another team or zone: what names them is taken back, and said again where they are now.

        Until then, they stay where they were. No deadline is met or missed by that.
        """
        moved = {desk.subject: desk for desk in self.desks.moved(rep_ids)}
        if not moved:
            return
        self.settle()
        outcomes = dict(self._verdicts.outcomes)
        for fact in [fact for fact in self.facts.values() if _rep_of(fact) in moved]:
            customer = self.customers[fact.customer_id]
            if not is_retracted(customer, fact):
                self._routes[type(fact)].folder.unpost(customer, instant_us(fact.occurred_at), fact)
        self._answered.settle()
        self._recontactable.settle()
        for desk in moved.values():
            self.desks.move(desk)
        self._fold()
        self._verdicts.outcomes = outcomes

    # -- corrections ------------------------------------------------------------------------------

    def _drop(self, customer: Customer, fact: Event, reason: BadRecord | None) -> None:
        """Forget a fact: it is past retention, or an orphan (then it is also rejected)."""
        del self.facts[fact.event_id]
        if not is_retracted(customer, fact):
            self._routes[type(fact)].folder.remove(customer, instant_us(fact.occurred_at), fact)
        customer.facts -= 1
        if not customer.facts:
            self.customers.pop(customer.customer_id, None)
        if reason is not None:
            self._rejected.append((fact, reason))
            self.note(reason.reason, instant_us(fact.occurred_at) // DAY_US)

    def _refuse_odd(self, customer: Customer, at_us: int, event: Event) -> None:
        if at_us > self._latest_us:
            raise BadRecord(Reason.CLOCK_SKEW, f"occurred_at {rfc3339(at_us)} is more than 5 minutes in the future")
        if self.retention is not None and self.retention.too_late(customer, at_us, event, self.alerts.clock_us):
            raise BadRecord(Reason.TOO_LATE, f"occurred_at {rfc3339(at_us)} is past the retention of its kind")


def _rep_of(fact: Event) -> str:
    """The rep that a fact names, who is nobody if it could name one and does not; `""` if it is about no rep."""
    rep_id: str | None = getattr(fact, "rep_id", "")
    return UNASSIGNED if rep_id is None else rep_id


def _hashed() -> dict[str, Any]:
    """An empty dictionary that keeps the hashes of its keys beside them.

    CPython leaves them out as long as all keys are text: then each collision reads another key, wherever that lies in
    memory. Among a million facts that is a tenth of a microsecond for each new one.
    """
    keyed: dict[Any, Any] = {0: 0}
    del keyed[0]
    return keyed
