"""Whether the broker answers. It is asked for records all the time, so each partition's last answer has an age."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from faust.types import TP

from processors.agents.partitions import OwnedPartitions
from processors.kafka.partition_ends import readable_end

MAX_SILENCE_SECONDS = 10.0
"""A broker that owes an answer for longer is taken for silent: it answers within 0.1 s, even without records."""


class PartitionEnd(NamedTuple):
    """Where a partition ended when the broker last answered for it."""

    end: int
    """The offset after its last record."""
    age_seconds: float

    def lag(self, next_offset: int) -> int | None:
        """Records that wait from an offset on; None: unknown, because the broker is silent.

        While fetched records wait in this process, the broker is not asked for more, so an old answer is no silence.
        """
        records = max(self.end - next_offset, 0)
        return records if records or self.age_seconds <= MAX_SILENCE_SECONDS else None


def known_ends(assignment: Any) -> dict[TP, PartitionEnd]:
    """The ends in aiokafka's assignment, of partitions for which the broker has answered. None is from the future."""
    now = time.time()
    states = {TP(*tp): assignment.state_value(tp) for tp in assignment.tps}
    return {
        tp: PartitionEnd(readable_end(state.highwater, state.lso), max(now - state.timestamp / 1000, 0.0))
        for tp, state in states.items()
        if state.timestamp is not None
    }


@dataclass
class BrokerLiveness:
    """Whether the broker answers this worker. When it is made, the broker has just answered."""

    partitions: OwnedPartitions
    monotonic: Callable[[], float] = time.monotonic
    _last_answer: float = field(init=False)

    def __post_init__(self) -> None:
        self._last_answer = self.monotonic()

    def is_answered(self, ends: Mapping[TP, PartitionEnd]) -> bool:
        """Whether the broker has answered lately: at all, and for every source partition that is read to its end."""
        now = self.monotonic()
        self._last_answer = max([self._last_answer, *(now - end.age_seconds for end in ends.values())])
        return now - self._last_answer <= MAX_SILENCE_SECONDS and None not in self._lags(ends)

    def _lags(self, ends: Mapping[TP, PartitionEnd]) -> Iterator[int | None]:
        for partition in self.partitions.recovered():
            for topic in self.partitions.topics:
                end = ends.get(TP(topic, partition.number))
                if end is not None:
                    yield end.lag(partition.next_offsets.get(topic, 0))
