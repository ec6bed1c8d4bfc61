"""Receivers that show what is active now are told all of it again, every minute, some at a time.

What they are told ends by itself some minutes later. When the wall's clock is put forward by more than that, everything
would end at once: so everything is told again as soon as the clock has stepped.
"""

import logging
import time
from collections import deque
from collections.abc import Callable

from config.clock import wall_us
from processors.notifier.delivery_queue import Book
from processors.notifier.receivers.base import Receiver, Rejected, TryAgain
from processors.notifier.redacted_errors import fault_of
from schemas.alerts import Transition

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0
PAUSE_SECONDS = 5.0
TOGETHER = 500
STEP_SECONDS = 30.0
"""A clock that is slewed moves by far less between two looks at it."""


class Mirror:
    """Keeps the alerts of one receiver alive, if it needs that."""

    def __init__(self, receiver: Receiver, book: Book, wall: Callable[[], int] = wall_us) -> None:
        """`wall`: the wall's instant in microseconds since 1970."""
        self._receiver = receiver
        self._wall = wall
        self._ahead_seconds = 0.0
        self._book = book
        self._left: deque[str] = deque()
        self._due_at = 0.0
        self._pause_until = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether there is more to tell at once."""
        return bool(self._left) and time.monotonic() >= self._pause_until

    async def keep_alive(self) -> bool:
        """Tell the next ones, if it is time to; false: the receiver did not take them."""
        now = time.monotonic()
        if not self._receiver.habits.mirrors or now < self._pause_until:
            return True
        if self._has_stepped(now) or now >= self._due_at:
            self._left = deque(self._book.alert_ids())
            self._due_at = now + INTERVAL_SECONDS
        chosen = [self._left.popleft() for _ in range(min(TOGETHER, len(self._left)))]
        shown = self._book.shown(chosen)
        return not shown or await self._tell(shown, chosen)

    def _has_stepped(self, now: float) -> bool:
        """Whether the wall's clock has moved against the monotonic one since the last look."""
        ahead_seconds = self._wall() / 1e6 - now
        step, self._ahead_seconds = abs(ahead_seconds - self._ahead_seconds), ahead_seconds
        return step > STEP_SECONDS

    async def _tell(self, shown: list[Transition], chosen: list[str]) -> bool:
        try:
            await self._show(shown)
        except TryAgain:
            self._left.extendleft(reversed(chosen))
            self._pause_until = time.monotonic() + PAUSE_SECONDS
            return False
        return True

    async def _show(self, shown: list[Transition]) -> None:
        """Raises TryAgain."""
        try:
            await self._receiver.keep_alive(shown)
        except TryAgain:
            raise
        except Rejected as error:
            # Alertmanager keeps the good ones of a batch; a bad one was already seen when it was first told.
            logger.warning("%s rejected some of %d active alerts: %s", self._receiver.name, len(shown), error)
        except Exception as error:  # noqa: BLE001 -- one alert that cannot be composed costs itself alone
            if len(shown) == 1:
                logger.warning("%s: %s cannot be shown: %s", self._receiver.name, shown[0].alert_id, fault_of(error))
                return
            middle = len(shown) // 2
            await self._show(shown[:middle])
            await self._show(shown[middle:])
