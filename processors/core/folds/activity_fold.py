"""Activities folded to numbers: counts per rep-local day and kind, customers won for a second contact (S19)."""

from sys import intern

from processors.core.folds.activity_kinds import KindCounts
from processors.core.folds.distinct_customers import Distinct
from processors.core.folds.fold import Folder
from processors.core.folds.opportunity_fold import Pipeline
from processors.core.folds.scoreboards import Desks
from processors.core.state.customers import Customer
from schemas.events import ActivityLogged


class Activities(Folder):
    """All activities of one source partition. They commute: each posts by itself."""

    def __init__(self, desks: Desks, recontactable: Distinct, pipeline: Pipeline, kinds: KindCounts) -> None:
        self._desks = desks
        self._kinds = kinds
        self._recontactable = recontactable
        self._pipeline = pipeline
        self._unposted: list[tuple[Customer, int, ActivityLogged]] = []

    def take(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """Add a fact. More than half of all events come here: `_post` and `touch`, the usual case first."""
        desk = self._desks.rep(activity.rep_id)
        activity.rep_id = desk.subject
        day = desk.day(at_us)
        counts, kind = desk.partial(day).activities, intern(activity.kind)
        activity.kind = kind
        count = counts.get(kind, 0)
        if count:
            counts[kind] = count + 1
        else:
            self._kinds.add((desk.subject, day), counts, kind)
        if activity.recontactable:
            self._recontact(customer, desk.subject, day, 1)
        touches, newest_us = customer.touches, customer.newest_us
        if touches and activity.opportunity_id is None and at_us == newest_us and at_us > customer.newest_close_us:
            # Newer than the last one, which is not looked at: it was in no cache.
            touches.append(at_us)
        else:
            self._pipeline.touch(customer, at_us, activity)

    def remove(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """Take a fact back."""
        self._post(customer, at_us, activity, -1)
        self._pipeline.untouch(customer, at_us, activity)

    def unpost(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """Count a fact no longer, until `settle`."""
        self._post(customer, at_us, activity, -1)
        self._unposted.append((customer, at_us, activity))

    def settle(self) -> None:
        """Count again what was unposted."""
        unposted, self._unposted = self._unposted, []
        for customer, at_us, activity in unposted:
            self._post(customer, at_us, activity, 1)

    def _post(self, customer: Customer, at_us: int, activity: ActivityLogged, sign: int) -> None:
        desk = self._desks.rep(activity.rep_id)
        day = desk.day(at_us)
        counts, kind = desk.partial(day).activities, activity.kind
        if sign > 0:
            self._kinds.add((desk.subject, day), counts, kind)
        else:
            self._kinds.remove((desk.subject, day), counts, kind)
        if activity.recontactable:
            self._recontact(customer, activity.rep_id, day, sign)

    def _recontact(self, customer: Customer, rep_id: str, day: int, sign: int) -> None:
        if customer.recontactable is None:
            customer.recontactable = {}
        self._recontactable.post(customer.recontactable, rep_id, day, sign)
