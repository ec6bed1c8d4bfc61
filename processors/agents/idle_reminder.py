"""What a worker says while it has no partitions yet, or not again: a rebalance and a recovery may take a while."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
REMIND_SECONDS = 15.0


@dataclass
class IdleReminder:
    """One line now and then: the engineer on call must not take a worker that waits for one that works."""

    group: str
    replayed: Callable[[], int]
    """Events of the changelog that were read again since the last assignment."""
    monotonic: Callable[[], float] = time.monotonic
    _since: float | None = None
    _reminded: float = 0.0

    def beat(self, *, waits: bool) -> None:
        """Called every second."""
        now = self.monotonic()
        if not waits:
            self._since = None
        elif self._since is None:
            self._since = self._reminded = now
        elif now - self._reminded >= REMIND_SECONDS:
            self._reminded = now
            logger.warning(
                "no partitions for %.0f s: group %s is rebalancing, or its state is being recovered (%d events so far)",
                now - self._since,
                self.group,
                self.replayed(),
            )
