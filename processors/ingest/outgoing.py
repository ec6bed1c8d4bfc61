"""Messages on their way out: when each occurred, its key and its value; and the pace at which they leave."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from config.clock import Clock, wall_us
from processors.core.time.instants import SECOND_US, instant_us
from schemas.codec import encode
from schemas.errors import UsageError
from schemas.events import Event, Message, RepUpdated

Outgoing = tuple[int, bytes, bytes]
"""The instant at which it occurred (microseconds since 1970; 0: unknown), the message key and its value."""


def from_events(timed: Iterable[tuple[int, Event]]) -> Iterator[Outgoing]:
    """Events with their instants as messages for `crm.events`, keyed by customer."""
    return ((at_us, event.customer_id.encode(), encode(event)) for at_us, event in timed)


def from_messages(messages: Iterable[Message]) -> Iterator[Outgoing]:
    """Events keyed by customer, or entries of the directory keyed by rep."""
    for message in messages:
        at = message.occurred_at
        yield 0 if at is None else instant_us(at), key_of(message), encode(message)


def key_of(message: Message) -> bytes:
    """The message key: an event's customer, or the rep of an entry of the directory."""
    return (message.rep_id if isinstance(message, RepUpdated) else message.customer_id).encode()


class Pace(Protocol):
    """When the next message may leave."""

    def wait_us(self, at_us: int) -> int:
        """Microseconds until the next message, which occurred at this instant, is due.

        0 or less: it may leave now, and counts as sent.
        """


class FullSpeed:
    """Everything leaves at once."""

    def wait_us(self, at_us: int) -> int:  # noqa: ARG002 - the protocol's
        """Always 0."""
        return 0


class Steady:
    """So many messages a second, evenly, whatever their instants."""

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
    """Each message when the clock shows its instant; what is past leaves at once."""

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
