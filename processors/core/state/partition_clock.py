"""The two times of one partition: how far its events have been judged, and what its owner's clock shows."""

from typing import Final

from mypy_extensions import mypyc_attr

from processors.core.time.instants import LONG_AGO_US

NO_CLOCK_US: Final = LONG_AGO_US
"""Without a clock, nothing is history."""


@mypyc_attr(acyclic=True)
class PartitionClock:
    """Instants are microseconds since 1970. The ledger moves both; folds and alerts only read them."""

    __slots__ = ("_alerts_max_age_us", "now_us", "wall_us")

    def __init__(self, alerts_max_age_us: int) -> None:
        self._alerts_max_age_us = alerts_max_age_us
        self.now_us = LONG_AGO_US
        """How far time has moved for this partition: deadlines before this instant have passed. It never goes back."""
        self.wall_us = NO_CLOCK_US
        """The owner's clock. It tells what is history (S18), which event time cannot: a replay is all in the past."""

    def advance(self, now_us: int) -> None:
        """Let time pass. An earlier instant changes nothing, as when a clock was set back."""
        if now_us > self.now_us:
            self.now_us = now_us

    def is_history(self, due_us: int) -> bool:
        """Whether a deadline is so long past that it counts as a breach and nobody is alerted (S18)."""
        return self.wall_us - due_us > self._alerts_max_age_us

    def is_old(self, due_us: int) -> bool:
        """The same, of the time that events have been judged up to."""
        return self.now_us - due_us > self._alerts_max_age_us
