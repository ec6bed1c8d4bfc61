"""All facts of one source partition, and the numbers that they fold to.

State is the *set* of accepted facts: any order and any duplication of the same events gives the same numbers (S27). The
ledger reads no clock: time comes in through `advance`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from processors.core.folds.activity_fold import ActivityFold
from processors.core.folds.activity_kinds import KindCounts
from processors.core.folds.alerts import Alerts
from processors.core.folds.distinct_customers import DistinctCustomers
from processors.core.folds.lifetime_value_fold import LifetimeValueFold
from processors.core.folds.opportunity_fold import OpportunityFold
from processors.core.folds.request_fold import RequestFold
from processors.core.folds.retractions import Retractions, is_retracted
from processors.core.folds.routes import Route, routes
from processors.core.folds.scoreboards import Scoreboards
from processors.core.folds.turn_contributions import TurnContributions
from processors.core.folds.turn_deadlines import TurnDeadlines
from processors.core.ledger.data_quality import NO_EXAMPLES, CountsByDay, DataQuality, day_range
from processors.core.ledger.identity import Applied, require_same
from processors.core.ledger.ledger_view import Folds, LedgerView
from processors.core.ledger.read_model_changes import ReadModelChanges
from processors.core.ledger.retention import Retention
from processors.core.state.customers import Customer
from processors.core.state.deadlines import Deadlines
from processors.core.state.directory import Directory
from processors.core.state.partition_clock import NO_CLOCK_US, PartitionClock
from processors.core.time.instants import DAY_US, FOREVER_US, HOUR_US, LONG_AGO_US, SECOND_US, instant_us, rfc3339
from processors.core.time.zones import zone_days
from schemas.alerts import Transition
from schemas.errors import BadRecord, Reason
from schemas.events import Event, EventRetracted
from schemas.policy import Policy
from schemas.views import UNASSIGNED, Changes

MAX_CLOCK_SKEW_US: Final = 300 * SECOND_US


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
        self._clock = PartitionClock(alerts_max_age_us)
        self._scoreboards = Scoreboards(directory)
        deadlines = TurnDeadlines(Deadlines(policy), self._scoreboards)
        self._alerts = Alerts(deadlines, self._clock)
        self._answered = DistinctCustomers("customers_answered", self._scoreboards)
        self._recontactable = DistinctCustomers("recontactable_customers", self._scoreboards)
        self._contributions = TurnContributions(self._scoreboards, deadlines, self._clock, self._answered)
        self._requests = RequestFold(self._alerts, deadlines, self._clock, self._contributions)
        self._opportunities = OpportunityFold(self._scoreboards, policy.pipelines, zone_days(policy.time_zone))
        self._lifetime_values = LifetimeValueFold(policy.currency)
        self._activities = ActivityFold(
            self._scoreboards, self._recontactable, self._opportunities, KindCounts(policy.kinds)
        )
        self._earliest_us, self._latest_us = LONG_AGO_US, FOREVER_US
        self.data_quality = DataQuality()
        self._changes = ReadModelChanges(self._scoreboards, self._requests, self._lifetime_values, self.data_quality)
        folds = Folds(self._requests, self._opportunities, self._lifetime_values)
        self._view = LedgerView(self.customers, self._scoreboards, folds, self._alerts, deadlines)
        self._rejected: list[tuple[Event, BadRecord]] = []
        self._expired: list[str] = []
        self._routes = routes(self._requests, self._opportunities, self._activities, self._lifetime_values)
        self._routes[EventRetracted] = Route(Retractions(self.facts, self._routes))

    # -- facts in ---------------------------------------------------------------------------------

    def apply(self, event: Event) -> Applied:
        """Add a fact. Raises BadRecord when it cannot count; nothing has changed then."""
        return "applied" if self.add(event.event_id, event) else "duplicate"

    def add(self, event_id: str, event: Event) -> bool:
        """The same, for callers that have its event_id at hand; false for a duplicate."""
        before = len(self.facts)
        # One look-up instead of two: among a million facts it misses every cache.
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
            route.fold.add(customer, at_us, event)
        return True

    def drain_counts(self) -> dict[type[Event], int]:
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

    def count_flaw(self, reason: str, day: int, more: int = 1) -> None:
        """Count a flaw of the data on a day (days since 1970, UTC), or on the nearest day that is kept (S29)."""
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
        """Set the owner's clock: facts more than 5 minutes ahead are refused (S28), and so are those past retention."""
        self._clock.wall_us = clock_us
        self._latest_us = clock_us + MAX_CLOCK_SKEW_US
        if self.retention is not None:
            self._earliest_us = clock_us - self.retention.shortest_us
            self.data_quality.set_range(*day_range(clock_us, self.retention.windows_us))

    def advance(self, now_us: int, *, sweeping: bool = True) -> None:
        """Let time pass for this partition: deadlines, orphans, and what is too old to keep.

        `sweeping`: false while records wait, which may still belong to what is old.
        """
        self._refold_roots()
        self._clock.advance(now_us)
        self._requests.pass_due()
        if sweeping and self.retention is not None:
            for customer, fact, reason in self.retention.sweep(self.facts, self.customers, now_us):
                self._drop(customer, fact, reason)
                if reason is None:
                    self._expired.append(fact.event_id)
            self._refold_roots()

    def resume(
        self,
        advanced_us: int,
        quality: CountsByDay,
        reps_fingerprint: int | None = None,
        examples: Mapping[str, str] = NO_EXAMPLES,
    ) -> None:
        """After the facts were restored: go on at the time that had been reached, and send nothing a second time.

        What was due by then counts as sent, and is followed up, however old it is. But when `reps_fingerprint` shows
        that reps have moved since, something may have fallen due by that: recent alerts are sent again.
        """
        self.reps_changed(list(self._scoreboards.reps))
        self._refold_roots()
        self.data_quality.restore(quality, examples)
        # Without a clock nothing is history: every deadline that was passed gets its alert, as it had in its time.
        clock_us, self._clock.wall_us = self._clock.wall_us, NO_CLOCK_US
        self._clock.advance(advanced_us)
        self._requests.pass_due()
        self._clock.wall_us = max(clock_us, advanced_us)
        # A fact may have been ahead of the owner's clock, and still counts as known.
        self._alerts.resume(advanced_us + MAX_CLOCK_SKEW_US, self.customers.values())
        if reps_fingerprint is not None and reps_fingerprint != self.reps_fingerprint:
            self._alerts.resend(self.customers.values())
        # All of this was counted and reported before the restart.
        self._contributions.drain_outcomes()
        self.drain_counts()
        self.drain_rejected()

    @property
    def advanced_us(self) -> int:
        """How far `advance` has come."""
        return self._clock.now_us

    @property
    def clock_us(self) -> int:
        """The owner's clock, as `set_clock` set it last."""
        return self._clock.wall_us

    # -- results out ------------------------------------------------------------------------------

    def refold(self) -> None:
        """Fold again what was withdrawn. Whatever gives numbers does this first: callers need not."""
        self._refold_roots()
        self._answered.refold()
        self._recontactable.refold()

    def _refold_roots(self) -> None:
        """The same without the distinct counts, which only readers of numbers need: they cost most."""
        self._requests.refold()
        self._opportunities.refold()
        self._activities.refold()
        for reason, days in (
            (Reason.UNLINKED, self._requests.unlinked_days),
            (Reason.FOREIGN_STAGE, self._opportunities.foreign_days),
            (Reason.CYCLE_NEGATIVE, self._opportunities.negative_days),
        ):
            for day, more in days.items():
                self.data_quality.count(reason, day, more)
            days.clear()

    def drain_transitions(self) -> list[Transition]:
        """Alert transitions since the last call."""
        self._refold_roots()
        return self._alerts.drain()

    def reconcile(self, former: Iterable[Transition]) -> None:
        """Take over the last transitions of a former owner, and retract what these facts do not bear out.

        To be called when all facts are there, and time is as far as they are.
        """
        self._refold_roots()
        for transition in former:
            customer = self.customers.get(transition.customer_id)
            request = (customer.requests or {}).get(transition.request_id) if customer is not None else None
            if customer is None or request is None:
                self._alerts.disown(transition)
            elif self._alerts.adopt(request, transition):
                self._requests.refold_later(customer, request)
        self._refold_roots()

    def drain_outcomes(self) -> dict[tuple[str, str, str], int]:
        """(team, level, met or missed) to how many more turns had that outcome since the last call.

        History is left out. A correction may give fewer: a negative number.
        """
        self._refold_roots()
        return self._contributions.drain_outcomes()

    def drain_rejected(self) -> list[tuple[Event, BadRecord]]:
        """Facts that were accepted and turned out bad since the last call: they belong into the dead letters."""
        rejected = [*self._rejected, *self._opportunities.drain_rejected()]
        self._rejected = []
        return rejected

    def drain_expired(self) -> list[str]:
        """The event_ids of the facts that retention dropped since the last call."""
        expired, self._expired = self._expired, []
        return expired

    def drain_changes(self) -> Changes:
        """The read model's fields that changed since the last call."""
        self.refold()
        return self._changes.drain(self.customers)

    def drain_portions(self, max_fields: int) -> Iterator[Changes]:
        """The same, at most `max_fields` at a time: facts and time may go on in between.

        A caller that does not take all of them has to call `mark_everything`.
        """
        self.refold()
        for changes in self._changes.drain_portions(self.customers, max_fields):
            yield changes
            self.refold()

    def mark_everything(self) -> None:
        """Let the next changes be all fields of the read model."""
        self.refold()
        self._changes.mark_all(self.customers)

    def everything(self) -> Changes:
        """All fields of the read model."""
        self.mark_everything()
        return self._changes.drain(self.customers)

    def view(self) -> LedgerView:
        """The numbers, turns and deadlines as these facts have them."""
        self.refold()
        return self._view

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
        """Move reps to their present teams and zones: what names them is withdrawn, and folded again there.

        Until then, they stay where they were. No deadline is met or missed by that.
        """
        moved = {scoreboard.subject: scoreboard for scoreboard in self._scoreboards.moved(rep_ids)}
        if not moved:
            return
        self.refold()
        outcomes = self._contributions.outcomes
        for fact in [fact for fact in self.facts.values() if _rep_of(fact) in moved]:
            customer = self.customers[fact.customer_id]
            if not is_retracted(customer, fact):
                self._routes[type(fact)].fold.withdraw(customer, instant_us(fact.occurred_at), fact)
        # The old zones' days and teams must be empty before the scoreboards move: after it, nothing would find them.
        self._answered.refold()
        self._recontactable.refold()
        for scoreboard in moved.values():
            self._scoreboards.move(scoreboard)
        self._refold_roots()
        self._contributions.restore_outcomes(outcomes)

    def moved_reps(self, rep_ids: Iterable[str]) -> list[str]:
        """Those of some reps whose team or zone is not the one that their numbers are counted in."""
        return [scoreboard.subject for scoreboard in self._scoreboards.moved(rep_ids)]

    @property
    def reps_fingerprint(self) -> int:
        """Changes with any rep's team or zone: to be kept for `resume`."""
        return self._scoreboards.reps_fingerprint

    # -- corrections ------------------------------------------------------------------------------

    def _drop(self, customer: Customer, fact: Event, reason: BadRecord | None) -> None:
        """Forget a fact: it is past retention, or an orphan (then it is also rejected)."""
        del self.facts[fact.event_id]
        if not is_retracted(customer, fact):
            self._routes[type(fact)].fold.remove(customer, instant_us(fact.occurred_at), fact)
        customer.facts -= 1
        if not customer.facts:
            self.customers.pop(customer.customer_id, None)
        if reason is not None:
            self._rejected.append((fact, reason))
            self.count_flaw(reason.reason, instant_us(fact.occurred_at) // DAY_US)

    def _refuse_odd(self, customer: Customer, at_us: int, event: Event) -> None:
        if at_us > self._latest_us:
            raise BadRecord(Reason.CLOCK_SKEW, f"occurred_at {rfc3339(at_us)} is more than 5 minutes in the future")
        if self.retention is not None and self.retention.too_late(customer, at_us, event, self._clock.wall_us):
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
