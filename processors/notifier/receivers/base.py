"""What every receiver of alerts is, and how it says that it did not take something."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from processors.notifier.notifications import Habits, Parcel
from schemas.alerts import Transition


class TryAgain(Exception):
    """The receiver does not take it now: it is tried again, not before `after_seconds` if that is given."""

    def __init__(self, detail: str, after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.after_seconds = after_seconds


class Rejected(Exception):
    """The receiver will never take it: it goes to the dead letters."""


class Receiver(Protocol):
    """Somewhere to tell alerts. A call that hangs is cut off by the receiver itself."""

    name: str
    habits: Habits

    async def send(self, parcel: Parcel) -> Mapping[str, str]:
        """Tell; gives the keys of single notices that were rejected, with the reason.

        Raises TryAgain, or Rejected when the whole parcel was refused.
        """

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """Tell a mirror of everything that is active; raises TryAgain or Rejected."""

    async def close(self) -> None:
        """Give connections back."""
