"""The worker's timers: time passes for the parts, changes are published, and parts are made durable."""

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
"""Counting what is in memory takes long with millions of facts."""
LAGGING_INTERVAL_SECONDS = 1.0
"""While records wait, time passes for a part only this often: history is not told anyway (S18)."""
MIN_REPS_PER_BEAT, MAX_BEATS_OF_MOVES = 16, 16
"""So many reps move at one beat, or this share of those who are to: everything is held until their numbers have moved,
even the heartbeats to Kafka."""

Lag = Mapping[str, int | None]
"""Records on the broker that are not applied, by topic; None: unknown."""


@dataclass(frozen=True)
class Timers:
    """What happens at intervals: each method is one beat, which the app calls."""

    parts: OwnedPartitions
    checkpoints: Checkpoints
    publisher: Publisher
    reps: DirectoryTable
    metrics: WorkerMetrics
    lease: Lease
    moving: set[str] = field(default_factory=set)
    """Reps whose entries are new, and who may not have moved yet."""

    def pass_time(self, clock_us: int, words: Mapping[TP, PartitionEnd]) -> None:
        """Levels fall due, alerts are sent, directory changes take effect, lags are measured."""
        self._adopt_reps()
        self.reps.refusals.tell()
        lags: dict[OwnedPartition, Lag] = {}
        for part in self.parts.recovered():
            lag = lags[part] = _lag(part, self.parts.topics, words)
            owned = self.lease.holds
            part.caught_up = owned and not any(records is None or records for records in lag.values())
            part.ledger.set_clock(clock_us)
            if None in lag.values() or not owned:
                # Answers may wait, and nobody knows: time stands still, by no fault of ours.
                part.watched_us = clock_us
            if owned and self._is_due(part):
                self._advance(part, clock_us)
        self.metrics.lag(
            {(topic, part.number): n for part, lag in lags.items() for topic, n in lag.items() if n is not None}
        )
        self.metrics.positions({part.label: part.position for part in lags})
        self.metrics.behind(_behind_us(lags, clock_us))
        self.metrics.partitions_owned.set(len(lags))

    def _advance(self, part: OwnedPartition, clock_us: int) -> None:
        if part.caught_up:
            part.ledger.advance(clock_us)
        else:
            part.ledger.advance(min(clock_us, part.ledger.stream_us), sweeping=False)
        self.checkpoints.say(part, clock_us)
        part.watched_us = max(part.watched_us, part.ledger.advanced_us)

    def _adopt_reps(self) -> None:
        changed = self.reps.take_changed()
        if changed:
            self.publisher.reps_changed({rep_id: self.reps.offsets[rep_id] for rep_id in changed})
            self.moving.update(changed)
        if self.moving:
            self._move_some_reps()

    def _move_some_reps(self) -> None:
        """Some of the reps move in all ledgers at once, so that no sum has them in two teams."""
        ledgers = [part.ledger for part in self.parts.recovered()]
        self.moving.intersection_update(
            {desk.subject for ledger in ledgers for desk in ledger.desks.moved(self.moving)}
        )
        some = sorted(self.moving)[: max(MIN_REPS_PER_BEAT, len(self.moving) // MAX_BEATS_OF_MOVES)]
        for ledger in ledgers:
            ledger.reps_changed(some)
        self.moving.difference_update(some)

    def _is_due(self, part: OwnedPartition) -> bool:
        """Whether time passes for a part at this beat."""
        now = time.monotonic()
        if not part.caught_up and now < part.advance_due:
            return False
        part.advance_due = now + LAGGING_INTERVAL_SECONDS
        return True

    def measure_sizes(self) -> None:
        """Count what is in memory."""
        sizes: Counter[str] = Counter()
        for part in self.parts.recovered():
            sizes.update(part.ledger.sizes())
            sizes["segments"] += len(part.journal)
        self.metrics.sizes(sizes)


def _lag(part: OwnedPartition, topics: Iterable[str], words: Mapping[TP, PartitionEnd]) -> Lag:
    lag: dict[str, int | None] = {}
    for topic in topics:
        word = words.get(TP(topic, part.number))
        lag[topic] = None if word is None else word.lag(part.next_offsets.get(topic, 0))
    return lag


def _behind_us(lags: Mapping[OwnedPartition, Lag], clock_us: int) -> int | None:
    """How far the part that is furthest behind is behind the clock; None: unknown."""
    behind = [clock_us - part.ledger.stream_us for part, lag in lags.items() if part.position and any(lag.values())]
    unknown = any(None in lag.values() for lag in lags.values())
    return max(behind, default=None if unknown else 0)
