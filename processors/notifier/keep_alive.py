"""Sends active alerts again, every minute and in batches, to receivers that would otherwise end them.

What such a receiver got ends by itself some minutes later. When the wall clock is put forward by more than that,
everything would end at once: so all of it is sent again as soon as the clock has stepped.
"""

import logging
import time
from collections import deque
from collections.abc import Callable

from config.clock import wall_us
from processors.notifier.delivery_queue import DeliveryQueue
from processors.notifier.receivers.base import Receiver, Rejected, TryAgain
from processors.notifier.redacted_errors import type_and_line
from schemas.alerts import Transition

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 60.0
RETRY_PAUSE_SECONDS = 5.0
KEEP_ALIVE_BATCH_SIZE = 500
CLOCK_STEP_SECONDS = 30.0
"""A clock that is slewed moves by far less between two looks at it."""


class KeepAlive:
    """Keeps the active alerts of one receiver alive, if its policy is `shows_active`."""

    def __init__(self, receiver: Receiver, queue: DeliveryQueue, wall: Callable[[], int] = wall_us) -> None:
        """`wall`: the wall clock's microseconds since 1970."""
        self._receiver = receiver
        self._wall = wall
        self._ahead_seconds = 0.0
        self._queue = queue
        self._left: deque[str] = deque()
        self._due_at = 0.0
        self._pause_until = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether more can be sent at once."""
        return bool(self._left) and time.monotonic() >= self._pause_until

    async def send_due(self) -> bool:
        """Send the next batch, if it is time to; False: the receiver did not accept it."""
        now = time.monotonic()
        if not self._receiver.policy.shows_active or now < self._pause_until:
            return True
        if self._has_stepped(now) or now >= self._due_at:
            self._left = deque(self._queue.alert_ids())
            self._due_at = now + INTERVAL_SECONDS
        chosen = [self._left.popleft() for _ in range(min(KEEP_ALIVE_BATCH_SIZE, len(self._left)))]
        shown = self._queue.shown(chosen)
        return not shown or await self._send(shown, chosen)

    def _has_stepped(self, now: float) -> bool:
        """Whether the wall clock has moved against the monotonic one since the last look."""
        ahead_seconds = self._wall() / 1e6 - now
        step, self._ahead_seconds = abs(ahead_seconds - self._ahead_seconds), ahead_seconds
        return step > CLOCK_STEP_SECONDS

    async def _send(self, shown: list[Transition], chosen: list[str]) -> bool:
        try:
            await self._send_halves(shown)
        except TryAgain:
            self._left.extendleft(reversed(chosen))
            self._pause_until = time.monotonic() + RETRY_PAUSE_SECONDS
            return False
        return True

    async def _send_halves(self, shown: list[Transition]) -> None:
        """Send, leaving out an alert that cannot be composed; raises TryAgain."""
        try:
            await self._receiver.keep_alive(shown)
        except TryAgain:
            raise
        except Rejected as error:
            # Alertmanager accepts the good ones of a batch; a bad one was reported when it was first sent.
            logger.warning("%s rejected some of %d active alerts: %s", self._receiver.name, len(shown), error)
        except Exception as error:  # noqa: BLE001 -- one alert that cannot be composed costs itself alone
            if len(shown) == 1:
                alert_id, fault = shown[0].alert_id, type_and_line(error)
                logger.warning("%s: %s cannot be shown: %s", self._receiver.name, alert_id, fault)
                return
            middle = len(shown) // 2
            await self._send_halves(shown[:middle])
            await self._send_halves(shown[middle:])
