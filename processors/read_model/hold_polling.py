"""Reads acknowledgements and snoozes again every second, for boards and notifiers alike."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from schemas.errors import Unavailable

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
REMINDER_INTERVAL_SECONDS = 60.0


def _ignore(_up: float) -> None:
    """Nobody asks whether Redis answers."""


class HoldPoller:
    """Calls `refresh` every second. While Redis does not answer, what was read last stays in force."""

    def __init__(self, refresh: Callable[[], Awaitable[None]], on_up: Callable[[float], object] = _ignore) -> None:
        """`refresh` reads the holds and raises Unavailable; `on_up` gets 1 when Redis answers, else 0."""
        self._refresh = refresh
        self._on_up = on_up
        self._warned_at = -REMINDER_INTERVAL_SECONDS

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self.poll()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def poll(self) -> None:
        """Read once; Redis may be away."""
        try:
            await self._refresh()
        except Unavailable as error:
            self._on_up(0)
            self._warn(str(error))
        else:
            self._on_up(1)

    def _warn(self, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= REMINDER_INTERVAL_SECONDS:
            logger.warning("%s: acknowledgements and snoozes stay as they were", why)
            self._warned_at = now
