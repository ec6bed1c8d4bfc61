"""Refused entries of the directory become dead letters: once, though every worker reads every entry at each start.

The owner of one part speaks for all workers. How far it has spoken is durable with that part; after a crash, the latest
may be said again, as with events. Whoever takes the part over reads the directory from its first entry on, so nobody
else has to remember any.
"""

from typing import Any, NamedTuple

from processors.agents.dead_letter_messages import DeadLetterFactory
from processors.agents.kafka_writer import OutgoingRecord
from processors.agents.metrics import WorkerMetrics
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from processors.core.quality import day_of
from processors.kafka.record_frames import UnreadableRange
from schemas.errors import BadRecord

REPORTING_PARTITION = 0
"""The part whose owner speaks: there is always one of this number."""


class RefusedEntry(NamedTuple):
    """A record of a table's topic that is no entry."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp: int
    """Milliseconds since 1970."""
    why: BadRecord
    stretch: UnreadableRange | None = None
    """Of a batch that cannot be read: its offsets, of which `offset` is the first."""

    @property
    def next_offset(self) -> int:
        """The offset after it."""
        return (self.offset if self.stretch is None else self.stretch.last) + 1

    @classmethod
    def of(cls, event: Any, why: BadRecord) -> "RefusedEntry":
        """What a Faust event holds."""
        message = event.message
        at_ms = round(message.timestamp * 1000)
        return cls(message.partition, message.offset, event.key, event.value, at_ms, why)


class DirectoryDeadLetters:
    """The refused entries that this worker has to speak of, and has not yet."""

    def __init__(
        self, parts: OwnedPartitions, reps_topic: str, dead_letters: DeadLetterFactory, metrics: WorkerMetrics
    ) -> None:
        self._parts = parts
        self._reps_topic = reps_topic
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._speaker: OwnedPartition | None = None
        self._waiting: list[RefusedEntry] = []

    @property
    def begin_anew(self) -> bool:
        """Whether the part has just come, so that the directory is to be read again."""
        part = self._parts.get(REPORTING_PARTITION)
        return part is not None and not part.recovered

    def add(self, entry: RefusedEntry) -> None:
        """An entry was refused. What waited for an earlier life of the part is read again in this one."""
        part = self._parts.get(REPORTING_PARTITION)
        if part is not self._speaker:
            self._speaker, self._waiting = part, []
        if part is not None:
            self._waiting.append(entry)

    def tell(self) -> None:
        """Make dead letters of those that are none yet, once it is known how far the part's owners have spoken."""
        part = self._parts.get(REPORTING_PARTITION)
        if part is None or part is not self._speaker or not part.recovered:
            return
        waiting, self._waiting = self._waiting, []
        for entry in waiting:
            if entry.offset >= part.told.get(entry.partition, 0):
                self._tell(part, entry)

    def _tell(self, part: OwnedPartition, entry: RefusedEntry) -> None:
        part.told[entry.partition] = entry.next_offset
        part.unsent.append(self._letter(entry))
        part.ledger.note(entry.why.reason, day_of(entry.timestamp))
        if entry.stretch is None:
            self._metrics.dead_letter(entry.why.reason)
        else:
            self._metrics.unreadable(self._reps_topic, entry.next_offset - entry.offset)

    def _letter(self, entry: RefusedEntry) -> OutgoingRecord:
        source = (self._reps_topic, entry.partition)
        if entry.stretch is not None:
            return self._dead_letters.of_batch(source, entry.stretch, entry.timestamp)
        return self._dead_letters.of_record(source, entry, entry.why)
