"""A reminder while a worker owns no partitions: a rebalance or a recovery may take a while."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
REMINDER_SECONDS = 15.0


@dataclass
class IdleReminder:
    """Logs one line now and then, so that nobody on call takes a waiting worker for a working one."""

    group: str
    replayed: Callable[[], int]
    """Events of the changelog that were replayed since the last assignment."""
    monotonic: Callable[[], float] = time.monotonic
    _since: float | None = None
    _reminded: float = 0.0

    def beat(self, *, waits: bool) -> None:
        """Call it every second. `waits`: whether the worker owns nothing now."""
        now = self.monotonic()
        if not waits:
            self._since = None
        elif self._since is None:
            self._since = self._reminded = now
        elif now - self._reminded >= REMINDER_SECONDS:
            self._reminded = now
            logger.warning(
                "no partitions for %.0f s: group %s is rebalancing, or its state is being recovered (%d events so far)",
                now - self._since,
                self.group,
                self.replayed(),
            )
