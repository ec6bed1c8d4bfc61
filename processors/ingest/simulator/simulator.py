"""A simulated sales team as a stream of events: seeded, in order of time, from history on into live without a seam."""

from collections.abc import Iterator
from hashlib import blake2b

from processors.core.time.instants import HOUR_US, SECOND_US, rfc3339
from processors.ingest.simulator.dice import Dice
from processors.ingest.simulator.people import SimulatedRep, clientele, entry, hire
from processors.ingest.simulator.rep_context import RepContext
from processors.ingest.simulator.rep_days import Plans, RepDays
from processors.ingest.simulator.timeline import Timed, Timeline
from schemas.codec import encode
from schemas.errors import UsageError
from schemas.events import Event, RepUpdated

CUSTOMERS_PER_REP = 40
LATEST_US = 4_102_444_800 * SECOND_US
"""The year 2100: from there on there are years enough to 9999 for any simulation to end in."""
MAX_REPS = 100_000
MAX_INTENSITY = 10_000.0


class Simulator:
    """A team from `start_us` (microseconds since 1970) on. The same arguments give the same events, byte for byte."""

    def __init__(
        self, seed: int, start_us: int, *, reps: int = 24, customers: int | None = None, intensity: float = 1.0
    ) -> None:
        """`customers` defaults to 40 for each rep; `intensity` multiplies how much a rep's day brings.

        Raises UsageError.
        """
        customers = reps * CUSTOMERS_PER_REP if customers is None else customers
        _check(start_us, reps, customers, intensity)
        self._start_us = start_us
        self._label = _label(seed, start_us, reps, customers, intensity)
        self._timeline = Timeline()
        self._reps = [hire(number, reps, Dice(f"{seed}/{number}")) for number in range(reps)]
        self._plans = Plans(start_us, [self._days(rep, customers, intensity) for rep in self._reps])
        self._hour = start_us // HOUR_US
        self._ready: list[Timed] = []
        self._next = 0

    def directory(self) -> list[RepUpdated]:
        """The reps, for `crm.reps`."""
        return [entry(rep, f"{self._label}-{rep.number}-0", self._start_us) for rep in self._reps]

    def timed(self, until_us: int | None = None) -> Iterator[tuple[int, Event]]:
        """The events up to and with an instant, or without end, each with its instant; the next call goes on."""
        while True:
            while self._next < len(self._ready):
                event = self._ready[self._next]
                if until_us is not None and event[0] > until_us:
                    return
                self._next += 1
                yield event
            if until_us is not None and self._hour * HOUR_US > until_us:
                return
            self._fill()

    def events(self, until_us: int | None = None) -> Iterator[Event]:
        """The events up to and with an instant, or without end; the next call goes on from there."""
        return (event for _, event in self.timed(until_us))

    def encoded(self, until_us: int | None = None) -> Iterator[tuple[bytes, bytes]]:
        """The same events as message keys and values."""
        return ((event.customer_id.encode(), encode(event)) for _, event in self.timed(until_us))

    def _fill(self) -> None:
        """The next hour: whoever's day begins in it plans that day first."""
        self._plans.run(self._hour)
        self._ready = self._timeline.drain_hour(self._hour)
        self._next = 0
        self._hour += 1

    def _days(self, rep: SimulatedRep, customers: int, intensity: float) -> RepDays:
        label = f"{self._label}-{rep.number}"
        clients = clientele(rep.number, len(self._reps), customers, Dice(f"{label}/clients"))
        return RepDays(RepContext(label, rep, clients, self._timeline), intensity)


def _label(*arguments: object) -> str:
    """What begins every id: events of different simulations are different facts even on one topic."""
    return blake2b(repr(arguments).encode(), digest_size=3).hexdigest()


def _check(start_us: int, reps: int, customers: int, intensity: float) -> None:
    if not 0 <= start_us < LATEST_US:
        raise UsageError(f"start {rfc3339(start_us)}: from {rfc3339(0)} to {rfc3339(LATEST_US)} can be simulated")
    if not 1 <= reps <= MAX_REPS:
        raise UsageError(f"{reps} reps: from 1 to {MAX_REPS} can be simulated")
    if customers < reps:
        raise UsageError(f"{customers} customers for {reps} reps: every rep needs at least one")
    if not 0 < intensity <= MAX_INTENSITY:
        raise UsageError(f"intensity {intensity}: above 0 and at most {MAX_INTENSITY:g} is allowed")
