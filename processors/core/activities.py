"""Activities folded to numbers: counts per rep-local day and kind, customers won for a second contact (S19)."""

from processors.core.customers import Customer
from processors.core.desks import Desks, bump
from processors.core.distinct import Distinct
from processors.core.pipeline import Pipeline
from schemas.events import ActivityLogged


class Activities:
    """All activities of one source partition. They commute: each posts by itself."""

    def __init__(self, desks: Desks, recontactable: Distinct, pipeline: Pipeline) -> None:
        self._desks = desks
        self._recontactable = recontactable
        self._pipeline = pipeline

    def take(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """Add a fact."""
        self.post(customer, at_us, activity, 1)
        self._pipeline.touch(customer, at_us, activity)

    def remove(self, customer: Customer, at_us: int, activity: ActivityLogged) -> None:
        """Take a fact back."""
        self.post(customer, at_us, activity, -1)
        self._pipeline.untouch(customer, at_us, activity)

    def post(self, customer: Customer, at_us: int, activity: ActivityLogged, sign: int) -> None:
        """Count an activity, or no longer."""
        desk = self._desks.rep(activity.rep_id)
        day = desk.day(at_us)
        bump(desk.partial(day).activities, activity.kind, sign)
        if activity.recontactable:
            if customer.recontactable is None:
                customer.recontactable = {}
            self._recontactable.post(customer.recontactable, activity.rep_id, day, sign)
