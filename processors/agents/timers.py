"""The worker's timers: time advances, changes are published, and partitions are made durable."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from faust.types import TP

from processors.agents.broker_liveness import PartitionEnd
from processors.agents.checkpoints import Checkpoints
from processors.agents.directory_table import DirectoryTable
from processors.agents.lease import Lease
from processors.agents.metrics import WorkerMetrics
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from processors.agents.publishing import Publisher

SIZES_INTERVAL_SECONDS = 15.0
"""Rare, because to count millions of events in memory takes long."""
LAGGING_INTERVAL_SECONDS = 1.0
"""While records wait, time advances for a partition only this often: history raises no alerts anyway (S18)."""
MIN_REPS_PER_BEAT, MAX_BEATS_OF_MOVES = 16, 16
"""At least this many reps move at one beat, and all within this many beats. While numbers move, nothing else runs, not
even the heartbeats to Kafka."""

Lag = Mapping[str, int | None]
"""Topic to the number of records on the broker that are not applied; None: unknown."""


@dataclass(frozen=True)
class Timers:
    """The work that the app does at intervals; each public method is one beat."""

    partitions: OwnedPartitions
    checkpoints: Checkpoints
    publisher: Publisher
    reps: DirectoryTable
    metrics: WorkerMetrics
    lease: Lease
    moving: set[str] = field(default_factory=set)
    """Reps with new entries whose numbers may not have moved yet."""

    def pass_time(self, clock_us: int, ends: Mapping[TP, PartitionEnd]) -> None:
        """Advance time: levels fall due, alerts are sent, directory changes take effect, lags are measured."""
        self._adopt_reps()
        self.reps.dead_letters.report()
        lags: dict[OwnedPartition, Lag] = {}
        for partition in self.partitions.recovered():
            lag = lags[partition] = _lag(partition, self.partitions.topics, ends)
            owned = self.lease.holds
            partition.caught_up = owned and not any(records is None or records for records in lag.values())
            partition.ledger.set_clock(clock_us)
            if None in lag.values() or not owned:
                # Answers may wait on the broker, so time stands still. Alerts due now are not late through us.
                partition.watch_from(clock_us)
            if owned and self._is_due(partition):
                self._advance(partition, clock_us)
        self.metrics.lag(
            {
                (topic, partition.number): n
                for partition, lag in lags.items()
                for topic, n in lag.items()
                if n is not None
            }
        )
        self.metrics.positions({partition.label: partition.position for partition in lags})
        self.metrics.behind(_behind_us(lags, clock_us))
        self.metrics.partitions_owned.set(len(lags))

    def _advance(self, partition: OwnedPartition, clock_us: int) -> None:
        if partition.caught_up:
            partition.ledger.advance(clock_us)
        else:
            partition.ledger.advance(min(clock_us, partition.ledger.stream_us), sweeping=False)
        self.checkpoints.send_pending(partition, clock_us)
        partition.watch_from(max(partition.live_since_us, partition.ledger.advanced_us))

    def _adopt_reps(self) -> None:
        changed = self.reps.drain_changed()
        if changed:
            self.publisher.add_changed_reps({rep_id: self.reps.offsets[rep_id] for rep_id in changed})
            self.moving.update(changed)
        if self.moving:
            self._move_some_reps()

    def _move_some_reps(self) -> None:
        """Move some reps, each in all ledgers at once, so that no sum counts a rep in two teams."""
        ledgers = [partition.ledger for partition in self.partitions.recovered()]
        self.moving.intersection_update({rep_id for ledger in ledgers for rep_id in ledger.moved_reps(self.moving)})
        some = sorted(self.moving)[: max(MIN_REPS_PER_BEAT, len(self.moving) // MAX_BEATS_OF_MOVES)]
        for ledger in ledgers:
            ledger.reps_changed(some)
        self.moving.difference_update(some)

    def _is_due(self, partition: OwnedPartition) -> bool:
        """Whether time advances for a partition at this beat."""
        now = time.monotonic()
        if not partition.caught_up and now < partition.advance_due_at:
            return False
        partition.advance_due_at = now + LAGGING_INTERVAL_SECONDS
        return True

    def measure_sizes(self) -> None:
        """Set the metrics of what is in memory."""
        sizes: Counter[str] = Counter()
        for partition in self.partitions.recovered():
            sizes.update(partition.ledger.sizes())
            sizes["segments"] += len(partition.journal)
        self.metrics.sizes(sizes)


def _lag(partition: OwnedPartition, topics: Iterable[str], ends: Mapping[TP, PartitionEnd]) -> Lag:
    lag: dict[str, int | None] = {}
    for topic in topics:
        partition_end = ends.get(TP(topic, partition.number))
        lag[topic] = None if partition_end is None else partition_end.lag(partition.next_offsets.get(topic, 0))
    return lag


def _behind_us(lags: Mapping[OwnedPartition, Lag], clock_us: int) -> int | None:
    """How far the last partition is behind the clock (microseconds); None: unknown."""
    behind = [
        clock_us - partition.ledger.stream_us
        for partition, lag in lags.items()
        if partition.position and any(lag.values())
    ]
    unknown = any(None in lag.values() for lag in lags.values())
    return max(behind, default=None if unknown else 0)
