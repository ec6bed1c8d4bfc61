"""What a rep's local day brings: activities, requests in bursts, new opportunities, and news about customers."""

from processors.core.time.instants import HOUR_US
from processors.ingest.simulator.opportunity_story import OpportunityStory
from processors.ingest.simulator.people import SEGMENTS, SimulatedCustomer
from processors.ingest.simulator.rep_context import Pursuit, RepContext
from processors.ingest.simulator.request_story import TOPICS, RequestStory
from schemas.events import ActivityLogged, CustomerCost, CustomerUpdated

ACTIVITIES, REQUESTS, OPPORTUNITIES, COSTS, MOVES = 29.0, 2.5, 1.0, 0.3, 0.1
"""Mean number a working day and rep, at intensity 1; requests count the bursts, not what is in them."""
KINDS = (*("call",) * 45, *("email",) * 35, *("meeting",) * 11, *("demo",) * 5, *("message",) * 4)
MEDIAN_MINUTES = {"call": 6.0, "meeting": 38.0, "demo": 45.0}
"""Of the kinds whose duration is known."""

LINKED, RECONTACTABLE, MISLOGGED, MANY = 0.45, 0.07, 0.004, 0.12
"""Probabilities of an activity; and that a request is the first of a burst."""
OFF_HOURS, DAY_OFF_SHARE = 0.18, 0.15
"""Share of requests outside working hours; and of a day's requests on a day off."""
COST_KINDS = (*("retention",) * 3, "other")


class RepDays:
    """A rep's days, one after the other."""

    def __init__(self, context: RepContext, intensity: float) -> None:
        """`intensity` multiplies how much happens."""
        self._context = context
        self._intensity = intensity

    def first(self, at_us: int) -> int:
        """The first local day that has not begun to bring anything at an instant."""
        day = self._context.shift.day(at_us)
        return day if at_us <= self._morning_us(day) else day + 1

    def midnight_us(self, day: int) -> int:
        """The instant at which a local day begins."""
        return self._context.shift.midnight_us(day)

    def plan(self, day: int) -> None:
        """Write down everything that begins on a local day, with all that follows from it."""
        working = bool(self._context.shift.spans(day))
        self._requests(day, working=working)
        if working:
            self._opportunities(day)
            self._activities(day)
            self._customers(day)

    def _activities(self, day: int) -> None:
        context = self._context
        for _ in range(self._count(ACTIVITIES * (1.3 - 0.3 * context.rep.slowness))):
            at_us = self._at_work(day)
            pursuit = self._pursuit(at_us) if context.dice.chance(LINKED * context.rep.diligence) else None
            if pursuit:
                self._act(at_us, pursuit.customer, pursuit.opportunity_id)
            else:
                self._act(at_us, context.client(), None)

    def _act(self, at_us: int, customer: SimulatedCustomer, opportunity_id: str | None) -> None:
        context = self._context
        kind = context.dice.pick(KINDS)
        minutes = MEDIAN_MINUTES.get(kind)
        activity = context.emit(
            at_us,
            ActivityLogged,
            customer,
            rep_id=context.rep.rep_id,
            kind=kind,
            recontactable=context.dice.chance(RECONTACTABLE),
            duration_seconds=None if minutes is None else float(int(context.dice.around(minutes * 60, 0.5))),
            opportunity_id=opportunity_id,
        )
        if context.dice.chance(MISLOGGED):
            context.retract(context.passed(at_us, 0.5), customer, activity, "activity", activity)

    def _pursuit(self, at_us: int) -> Pursuit | None:
        """An opportunity that is worked on at the instant; those that have ended are forgotten on the way."""
        pursuits = self._context.pursuits
        while pursuits:
            index = int(self._context.dice.random() * len(pursuits))
            pursuit = pursuits[index]
            if at_us < pursuit.to_us:
                return pursuit if pursuit.from_us <= at_us else None
            pursuits[index] = pursuits[-1]
            pursuits.pop()
        return None

    def _requests(self, day: int, *, working: bool) -> None:
        dice = self._context.dice
        for _ in range(self._count(REQUESTS * (1.0 if working else DAY_OFF_SHARE))):
            office = working and not dice.chance(OFF_HOURS)
            at_us = self._at_work(day) if office else self._any_time(day)
            size = 2 + dice.count(2.5) if dice.chance(MANY) else 1
            self._burst(at_us, size)

    def _burst(self, at_us: int, size: int) -> None:
        """Several customers with the same topic within minutes: each has to wait for those before."""
        context = self._context
        topic = context.dice.pick(TOPICS)
        for queue in range(size):
            RequestStory(context, context.client(), topic).run(at_us, queue)
            at_us = context.passed(at_us, 0.05)

    def _opportunities(self, day: int) -> None:
        for _ in range(self._count(OPPORTUNITIES)):
            OpportunityStory(self._context, self._context.client()).run(self._at_work(day))

    def _customers(self, day: int) -> None:
        context = self._context
        for _ in range(self._count(COSTS)):
            context.emit(
                self._at_work(day),
                CustomerCost,
                context.client(),
                amount=context.money(45),
                kind=context.dice.pick(COST_KINDS),
            )
        for _ in range(self._count(MOVES)):
            customer = context.client()
            customer.segment = context.dice.pick(SEGMENTS) or customer.segment
            context.emit(self._at_work(day), CustomerUpdated, customer, segment=customer.segment)

    def _count(self, mean: float) -> int:
        return self._context.dice.count(mean * self._intensity)

    def _at_work(self, day: int) -> int:
        return self._context.shift.at_work(day, self._context.dice.random())

    def _any_time(self, day: int) -> int:
        """Until eleven at night: customers sleep."""
        return self._morning_us(day) + int(17 * HOUR_US * self._context.dice.random())

    def _morning_us(self, day: int) -> int:
        """Six hours after midnight: nothing happens before."""
        return self.midnight_us(day) + 6 * HOUR_US


class Plans:
    """Whose day begins when."""

    def __init__(self, start_us: int, everybody: list[RepDays]) -> None:
        """Everybody begins on the first local day on which it is not yet six in the morning at `start_us`."""
        self._due: dict[int, list[tuple[RepDays, int]]] = {}
        for days in everybody:
            self._schedule(days, days.first(start_us), start_us)

    def run(self, hour: int) -> None:
        """Plan the days that begin in this hour (counted from 1970)."""
        for days, day in self._due.pop(hour, ()):
            days.plan(day)
            self._schedule(days, day + 1, 0)

    def _schedule(self, days: RepDays, day: int, earliest_us: int) -> None:
        hour = max(days.midnight_us(day), earliest_us) // HOUR_US
        self._due.setdefault(hour, []).append((days, day))
