"""Unreadable batches that readers outside the workers' hot path pass over: logged once, and counted."""

import logging
from collections import Counter

from processors.kafka.record_frames import UnreadableRange

logger = logging.getLogger(__name__)

MAX_REMEMBERED = 10_000


class SkippedBatches:
    """What the readers of this process had to pass over."""

    def __init__(self) -> None:
        self.offsets: Counter[str] = Counter()
        """Topic to how many offsets could not be read."""
        self._seen: set[tuple[str, int, int]] = set()
        self._latest: dict[tuple[str, int], UnreadableRange] = {}

    def add(self, topic: str, partition: int, stretch: UnreadableRange) -> None:
        """Offsets of a partition cannot be read. Who reads it again hears nothing new."""
        self._latest[topic, partition] = stretch
        place = (topic, partition, stretch.first)
        if place in self._seen or len(self._seen) >= MAX_REMEMBERED:
            return
        self._seen.add(place)
        self.offsets[topic] += stretch.last - stretch.first + 1
        logger.error(
            "%s/%d: offsets %d to %d cannot be read and are passed over: %s",
            topic,
            partition,
            stretch.first,
            stretch.last,
            stretch.detail,
        )

    def forget(self, topic: str, partition: int) -> None:
        """A partition is read anew: what was met before says nothing of it."""
        self._latest.pop((topic, partition), None)

    def latest(self, topic: str, partition: int) -> UnreadableRange | None:
        """The stretch of a partition that was met last."""
        return self._latest.get((topic, partition))


SKIPPED = SkippedBatches()
"""Those of this process."""
