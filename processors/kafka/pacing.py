"""The pace at which messages are sent."""

from collections.abc import Callable
from typing import Protocol

from config.clock import Clock, wall_us
from processors.core.time.instants import SECOND_US
from schemas.errors import UsageError


class Pace(Protocol):
    """When the next message may leave."""

    def wait_us(self, at_us: int) -> int:
        """Microseconds until the next message, which occurred at this instant, is due.

        0 or less: it may leave now, and counts as sent.
        """


class FullSpeed:
    """Every message leaves at once."""

    def wait_us(self, at_us: int) -> int:  # noqa: ARG002 - the protocol's
        """Always 0."""
        return 0


class Steady:
    """A fixed number of messages a second, whatever their instants."""

    def __init__(self, per_second: float, wall: Callable[[], int] = wall_us) -> None:
        """Raises UsageError."""
        if per_second <= 0:
            raise UsageError(f"rate {per_second:g}: more than 0 messages a second are needed")
        self._per_second = per_second
        self._wall = wall
        self._begin_us = wall()
        self._sent = 0

    def wait_us(self, at_us: int) -> int:  # noqa: ARG002 - the protocol's
        """Microseconds until the next slot."""
        due_us = self._begin_us + int(self._sent * SECOND_US / self._per_second)
        wait_us = due_us - self._wall()
        if wait_us <= 0:
            self._sent += 1
        return wait_us


class Live:
    """Each message leaves when the clock shows its instant; past ones leave at once."""

    def __init__(self, clock: Clock, wall: Callable[[], int] = wall_us) -> None:
        """Raises UsageError for a clock that stands still."""
        if clock.speed == 0:
            raise UsageError("clock.mode = fixed: live events need a clock that runs, wall or scaled")
        self._clock = clock
        self._wall = wall

    def wait_us(self, at_us: int) -> int:
        """Microseconds of the wall until the clock shows the instant."""
        due_us = self._clock.shown_at_wall_us(at_us)
        return 0 if due_us is None else due_us - self._wall()
