"""Whether the broker answers: it is asked for records all the time, and what it last said of a partition grows old."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from faust.types import TP

from processors.agents.partitions import OwnedPartitions
from processors.kafka.partition_ends import readable_end

MAX_SILENCE_SECONDS = 10.0
"""A broker that owes an answer for longer is silent: it answers within 0.1 s, even if it has no records."""


class PartitionEnd(NamedTuple):
    """What the broker last said of a partition."""

    end: int
    """The offset after its last record."""
    age_seconds: float

    def lag(self, reached: int) -> int | None:
        """Records that wait beyond an offset; None: unknown, since the broker is silent.

        While records wait here, it is not asked for more: then its word may be old.
        """
        records = max(self.end - reached, 0)
        return records if records or self.age_seconds <= MAX_SILENCE_SECONDS else None


def known_ends(assignment: Any) -> dict[TP, PartitionEnd]:
    """The words on the partitions of aiokafka's assignment, as far as there are any. None is from the future."""
    now = time.time()
    states = {TP(*tp): assignment.state_value(tp) for tp in assignment.tps}
    return {
        tp: PartitionEnd(readable_end(state.highwater, state.lso), max(now - state.timestamp / 1000, 0.0))
        for tp, state in states.items()
        if state.timestamp is not None
    }


@dataclass
class BrokerLiveness:
    """Whether the broker answers a worker, which has heard it when this begins."""

    parts: OwnedPartitions
    monotonic: Callable[[], float] = time.monotonic
    _heard: float = field(init=False)

    def __post_init__(self) -> None:
        self._heard = self.monotonic()

    def is_answered(self, words: Mapping[TP, PartitionEnd]) -> bool:
        """Whether the broker has spoken lately: at all, and of every source partition that is read up to its end."""
        now = self.monotonic()
        self._heard = max([self._heard, *(now - word.age_seconds for word in words.values())])
        return now - self._heard <= MAX_SILENCE_SECONDS and None not in self._lags(words)

    def _lags(self, words: Mapping[TP, PartitionEnd]) -> Iterator[int | None]:
        for part in self.parts.recovered():
            for topic in self.parts.topics:
                word = words.get(TP(topic, part.number))
                if word is not None:
                    yield word.lag(part.next_offsets.get(topic, 0))
