"""Activities folded to numbers: counts by rep-local day and kind, and recontactable customers (S19)."""

from sys import intern

from processors.core.folds.activity_kinds import KindCounts
from processors.core.folds.distinct_customers import DistinctCustomers
from processors.core.folds.fold import Fold
from processors.core.folds.opportunity_fold import OpportunityFold
from processors.core.folds.scoreboards import Scoreboards
from processors.core.state.customers import Customer
from schemas.events import ActivityLogged


class ActivityFold(Fold):
    """All activities of one source partition. Each counts by itself, in whatever order they come."""

    def __init__(
        self,
        scoreboards: Scoreboards,
        recontactable: DistinctCustomers,
        opportunities: OpportunityFold,
        kinds: KindCounts,
    ) -> None:
        self._scoreboards = scoreboards
        self._kinds = kinds
        self._recontactable = recontactable
        self._opportunities = opportunities
        self._withdrawn: list[tuple[Customer, int, ActivityLogged]] = []

    def add(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """Add a fact. More than half of all events come here: `_post` and `add_touch` in line, for the usual case."""
        scoreboard = self._scoreboards.rep(activity.rep_id)
        activity.rep_id = scoreboard.subject
        day = scoreboard.day(at_us)
        counts, kind = scoreboard.partial(day).activities, intern(activity.kind)
        activity.kind = kind
        count = counts.get(kind, 0)
        if count:
            counts[kind] = count + 1
        else:
            self._kinds.add((scoreboard.subject, day), counts, kind)
        if activity.recontactable:
            self._recontact(customer, scoreboard.subject, day, 1)
        touches, newest_us = customer.touches, customer.newest_us
        if touches and activity.opportunity_id is None and at_us == newest_us and at_us > customer.newest_close_us:
            # It is the customer's newest fact, so newer than the last touch, which is in no cache.
            touches.append(at_us)
        else:
            self._opportunities.add_touch(customer, at_us, activity)

    def remove(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """Take a fact back."""
        self._post(customer, at_us, activity, -1)
        self._opportunities.remove_touch(customer, at_us, activity)

    def withdraw(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """Count a fact no longer, until `refold`."""
        self._post(customer, at_us, activity, -1)
        self._withdrawn.append((customer, at_us, activity))

    def refold(self) -> None:
        """Count again what was withdrawn, now with the reps' new teams and zones."""
        withdrawn, self._withdrawn = self._withdrawn, []
        for customer, at_us, activity in withdrawn:
            self._post(customer, at_us, activity, 1)

    def _post(self, customer: Customer, at_us: int, activity: ActivityLogged, sign: int) -> None:
        scoreboard = self._scoreboards.rep(activity.rep_id)
        day = scoreboard.day(at_us)
        counts, kind = scoreboard.partial(day).activities, activity.kind
        if sign > 0:
            self._kinds.add((scoreboard.subject, day), counts, kind)
        else:
            self._kinds.remove((scoreboard.subject, day), counts, kind)
        if activity.recontactable:
            self._recontact(customer, activity.rep_id, day, sign)

    def _recontact(self, customer: Customer, rep_id: str, day: int, sign: int) -> None:
        if customer.recontactable is None:
            customer.recontactable = {}
        self._recontactable.count(customer.recontactable, rep_id, day, sign)
