"""Dead letters for refused entries of the directory: one each, although every worker reads every entry at each start.

The owner of partition 0 reports for all workers. How far it has reported is durable with that partition; after a crash,
the latest may be reported again, as with events. A worker that gets the partition reads the directory from its first
entry on, so no other worker has to remember refused entries.
"""

from typing import Any, NamedTuple

from processors.agents.dead_letter_messages import DeadLetterFactory
from processors.agents.kafka_writer import OutgoingRecord
from processors.agents.metrics import WorkerMetrics
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from processors.core.ledger.data_quality import day_of
from processors.kafka.record_frames import UnreadableRange
from schemas.errors import BadRecord

REPORTING_PARTITION = 0
"""The partition whose owner reports. Every events topic has one of this number."""


class RefusedEntry(NamedTuple):
    """A record of a table's topic that is no entry."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp: int
    """Milliseconds since 1970."""
    why: BadRecord
    unreadable: UnreadableRange | None = None
    """Of a batch that cannot be read: its offsets, of which `offset` is the first."""

    @property
    def next_offset(self) -> int:
        """The offset after it."""
        return (self.offset if self.unreadable is None else self.unreadable.last) + 1

    @classmethod
    def of(cls, event: Any, why: BadRecord) -> "RefusedEntry":
        """The record of a Faust event."""
        message = event.message
        at_ms = round(message.timestamp * 1000)
        return cls(message.partition, message.offset, event.key, event.value, at_ms, why)


class DirectoryDeadLetters:
    """The refused entries that this worker has to report and has not reported yet."""

    def __init__(
        self, partitions: OwnedPartitions, reps_topic: str, dead_letters: DeadLetterFactory, metrics: WorkerMetrics
    ) -> None:
        self._partitions = partitions
        self._reps_topic = reps_topic
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._read_for: OwnedPartition | None = None
        """The reporting partition, as it was owned when the waiting entries were read."""
        self._waiting: list[RefusedEntry] = []

    @property
    def must_reread(self) -> bool:
        """Whether the reporting partition has just come, so that the directory is to be read from its beginning."""
        partition = self._partitions.get(REPORTING_PARTITION)
        return partition is not None and not partition.recovered

    def add(self, entry: RefusedEntry) -> None:
        """An entry was refused. If the partition came again since, the entries before it will be read again."""
        partition = self._partitions.get(REPORTING_PARTITION)
        if partition is not self._read_for:
            self._read_for, self._waiting = partition, []
        if partition is not None:
            self._waiting.append(entry)

    def report(self) -> None:
        """Send dead letters for entries that have none, once recovery says how far earlier owners have reported."""
        partition = self._partitions.get(REPORTING_PARTITION)
        if partition is None or partition is not self._read_for or not partition.recovered:
            return
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if entry.offset >= partition.directory_reported_to.get(entry.partition, 0):
                self._report(partition, entry)

    def _report(self, partition: OwnedPartition, entry: RefusedEntry) -> None:
        partition.mark_reported(entry.partition, entry.next_offset)
        partition.outbox.add(self._letter(entry))
        partition.ledger.count_flaw(entry.why.reason, day_of(entry.timestamp))
        if entry.unreadable is None:
            self._metrics.dead_letter(entry.why.reason)
        else:
            self._metrics.unreadable(self._reps_topic, entry.next_offset - entry.offset)

    def _letter(self, entry: RefusedEntry) -> OutgoingRecord:
        source = (self._reps_topic, entry.partition)
        if entry.unreadable is not None:
            return self._dead_letters.of_batch(source, entry.unreadable, entry.timestamp)
        return self._dead_letters.of_record(source, entry, entry.why)
