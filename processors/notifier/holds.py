"""What the notifier knows of acknowledged and snoozed turns: Redis, read once a second."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from processors.core.time.instants import DAY_US
from processors.notifier.acks import Acks, Hold, TurnKey, lasting, outlived
from schemas.errors import Unavailable

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
REMIND_SECONDS = 60.0


class Holds:
    """The holds in force. While Redis does not answer they stay as they were, but for snoozes that end."""

    def __init__(self, acks: Acks, now_us: Callable[[], int], kept_days: int, on_up: Callable[[float], object]) -> None:
        """`now_us`: Salespulse's clock; `on_up`: told 1 when Redis answers, else 0."""
        self._acks = acks
        self._now_us = now_us
        self._kept_us = kept_days * DAY_US
        self._on_up = on_up
        self._known: dict[TurnKey, Hold] | None = None
        self._ended: set[TurnKey] = set()
        self._warned_at = -REMIND_SECONDS

    def now(self) -> Mapping[TurnKey, Hold] | None:
        """What holds at this instant; None: Redis has not answered yet."""
        return None if self._known is None else lasting(self._known, self._now_us())

    def turn_ended(self, turn: TurnKey) -> None:
        """Nobody waits there any more: what holds the turn can go."""
        if self._known is not None and turn in self._known:
            self._ended.add(turn)

    async def run(self) -> None:
        """Read again and again, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(INTERVAL_SECONDS)

    async def refresh(self) -> None:
        """Read what is there now, and take out what nobody needs any more."""
        try:
            known = await self._acks.all()
            gone = [turn for turn in self._ended if turn in known]
            gone += outlived(known, self._now_us(), self._kept_us)
            if gone:
                await self._acks.drop(gone)
        except Unavailable as error:
            self._on_up(0)
            self._warn(str(error))
            return
        self._on_up(1)
        self._ended.clear()
        self._known = {turn: hold for turn, hold in known.items() if turn not in set(gone)}

    def _warn(self, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= REMIND_SECONDS:
            logger.warning("%s: acknowledgements and snoozes stay as they were", why)
            self._warned_at = now
