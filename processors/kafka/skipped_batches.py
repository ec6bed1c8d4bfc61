"""Unreadable batches that readers outside of the worker's intake skip: each is logged once, and counted."""

import logging
from collections import Counter

from processors.kafka.record_frames import UnreadableRange

logger = logging.getLogger(__name__)

MAX_REMEMBERED = 10_000


class SkippedBatches:
    """The offsets that readers of this process had to skip."""

    def __init__(self) -> None:
        self.offsets: Counter[str] = Counter()
        """Topic to the number of offsets that could not be read."""
        self._seen: set[tuple[str, int, int]] = set()
        self._latest: dict[tuple[str, int], UnreadableRange] = {}

    def add(self, topic: str, partition: int, skipped: UnreadableRange) -> None:
        """Count and log offsets that cannot be read. A range that is read again is not counted again."""
        self._latest[topic, partition] = skipped
        key = (topic, partition, skipped.first)
        if key in self._seen or len(self._seen) >= MAX_REMEMBERED:
            return
        self._seen.add(key)
        self.offsets[topic] += skipped.last - skipped.first + 1
        logger.error(
            "%s/%d: offsets %d to %d cannot be read and are passed over: %s",
            topic,
            partition,
            skipped.first,
            skipped.last,
            skipped.detail,
        )

    def forget(self, topic: str, partition: int) -> None:
        """Forget the latest range of a partition that is about to be read anew."""
        self._latest.pop((topic, partition), None)

    def latest(self, topic: str, partition: int) -> UnreadableRange | None:
        """The range of a partition that was skipped last."""
        return self._latest.get((topic, partition))


SKIPPED = SkippedBatches()
"""The skipped batches of this process."""
