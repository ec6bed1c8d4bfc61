"""What a receiver of alerts implements, what it is given, and how it says that it did not accept something.

A new receiver is a module beside this one with a class that follows `Receiver`, and a function that makes it from the
settings, listed in `configured.py`. Queueing, retries, digests, the delivery log and dead letters are not its concern.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from processors.read_model.acknowledgements import TurnHold
from schemas.alerts import State, Transition

ACTIVE_STATES: frozenset[State] = frozenset({"at_risk", "fired"})
"""States in which a customer still waits; the others end an alert."""


class RecordPosition(NamedTuple):
    """Where a transition stands in its topic."""

    partition: int
    offset: int
    timestamp_ms: int = 0
    """When the broker got it (wall clock, milliseconds since 1970)."""


class Notification(msgspec.Struct, kw_only=True):
    """One message to a receiver about one alert."""

    transition: Transition
    position: RecordPosition | None = None
    """Its record, whose offset is committed only after delivery; None for a reminder, which has no record."""
    hold: TurnHold | None = None
    """Somebody took care of the turn: a receiver that shows active alerts removes this one."""
    reminder_us: int | None = None
    """When a hold ended, so that the alert is sent once more (microseconds since 1970)."""
    failures: int = 0
    not_before: float = 0.0
    """Not tried before this (monotonic seconds)."""

    @property
    def key(self) -> str:
        """The same whenever the same thing is sent again, so that receivers can drop repetitions."""
        once = f"{self.transition.alert_id}@{self.transition.revision}"
        return once if self.reminder_us is None else f"{once}+{self.reminder_us}"


NotificationBatch = Sequence[Notification]
"""What goes out in one message."""


class DeliveryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver gets, and how."""

    every_transition: bool = False
    """Every transition in order; otherwise only what is still true at the time of sending."""
    shows_active: bool = False
    """It shows what is active now, and forgets alerts unless they are sent again regularly (`keep_alive`)."""
    states: frozenset[State] = frozenset({"at_risk", "fired", "resolved", "retracted"})
    max_in_flight: int = 1
    """How many messages may be under way at the same time."""
    batch_size: int = 1
    """The most notifications in one message."""
    digest_seconds: float = 0.0
    """At most one message per rep in this time, with all its notifications; 0: no digests."""


class TryAgain(Exception):
    """The receiver does not accept it now. It is tried again, not before `after_seconds` if that is given."""

    def __init__(self, detail: str, after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.after_seconds = after_seconds


class Rejected(Exception):
    """The receiver will never accept it: it goes to the dead letters."""


class Receiver(Protocol):
    """A destination of alerts. It limits the time of its calls itself: one that hangs would hold up its queue."""

    name: str
    """Labels metrics and names the consumer group: unique, and the same after a restart."""
    policy: DeliveryPolicy

    async def send(self, batch: NotificationBatch) -> Mapping[str, str]:
        """Send one message; returns the keys of single notifications that were rejected, with the reason.

        Raises TryAgain, or Rejected when the whole batch was refused. Any other exception costs only the notification
        that raises it: the batch is halved until that one is found.
        """

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """Send active alerts again, for a policy with `shows_active`; raises TryAgain or Rejected."""

    async def close(self) -> None:
        """Release connections."""
