"""What one rep's stories share: the rep, the customers, the random numbers and the timeline."""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from processors.core.time.instants import moment
from processors.ingest.simulator.dice import Dice
from processors.ingest.simulator.people import SimulatedCustomer, SimulatedRep
from processors.ingest.simulator.shifts import Shift, in_hours
from processors.ingest.simulator.timeline import Timeline
from schemas.events import CustomerCost, CustomerUpdated, Event, EventRetracted

_MILLISECOND_US = 1000
_SECOND_HOURS = 1 / 3600


class Pursuit(msgspec.Struct, frozen=True):
    """An opportunity that the rep works on, with its life in microseconds since 1970."""

    opportunity_id: str
    customer: SimulatedCustomer
    from_us: int
    to_us: int


class RepContext:
    """Shared by every story of one rep. Reps share nothing but the timeline: each has random numbers of their own."""

    def __init__(self, label: str, rep: SimulatedRep, clients: list[SimulatedCustomer], timeline: Timeline) -> None:
        """`label` begins every id and makes it unique to this simulation and rep."""
        self.label = label
        self.rep = rep
        self.dice = Dice(label)
        self.shift = Shift(rep.time_zone, rep.hours, salt=self.dice.getrandbits(8))
        self.clients = clients
        self.pursuits: list[Pursuit] = []
        self._timeline = timeline
        self._events = 0
        self._things = 0

    def new_id(self, letter: str) -> str:
        """A fresh id for a request (`R`) or an opportunity (`O`)."""
        self._things += 1
        return f"{letter}-{self.label}-{self._things}"

    def emit(self, at_us: int, event: Callable[..., Event], customer: SimulatedCustomer, **fields: object) -> str:
        """Add a customer's event to the timeline, and before the first one the customer; returns the event's id."""
        if not customer.known:
            self._introduce(at_us, customer)
        at_us -= at_us % _MILLISECOND_US
        self._events += 1
        event_id = f"{self.label}-{self._events}"
        written = event(event_id=event_id, occurred_at=moment(at_us), customer_id=customer.customer_id, **fields)
        self._timeline.add(at_us, written)
        return event_id

    def retract(self, at_us: int, customer: SimulatedCustomer, event_id: str, entity: str, entity_id: str) -> None:
        """Emit the retraction of an event."""
        self.emit(at_us, EventRetracted, customer, retracts=event_id, entity=entity, entity_id=entity_id)

    def client(self) -> SimulatedCustomer:
        """One of the rep's customers; some come far more often than others."""
        share = self.dice.random()
        return self.clients[int(share * share * len(self.clients))]

    def colleague(self) -> str:
        """Another rep of the team, or this one where the team has no other."""
        return self.dice.pick(self.rep.teammates) if self.rep.teammates else self.rep.rep_id

    def worked(self, at_us: int, median_hours: float, sigma: float = 0.8) -> int:
        """The instant at which the rep is done with something, in working time."""
        return self.shift.later(at_us, in_hours(self.dice.around(median_hours * self.rep.slowness, sigma)))

    def passed(self, at_us: int, median_hours: float, sigma: float = 0.8) -> int:
        """The instant after a while of calendar time, at least a second later."""
        return at_us + in_hours(_SECOND_HOURS + self.dice.around(median_hours, sigma))

    def money(self, median: float, sigma: float = 0.6) -> Decimal:
        """An amount with two decimal places."""
        return Decimal(int(self.dice.around(median, sigma) * 100) + 1).scaleb(-2)

    def _introduce(self, at_us: int, customer: SimulatedCustomer) -> None:
        customer.known = True
        self.emit(at_us, CustomerUpdated, customer, segment=customer.segment, rep_id=self.rep.rep_id)
        self.emit(at_us, CustomerCost, customer, amount=self.money(220), kind="acquisition")
