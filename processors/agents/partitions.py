"""The partitions that this worker owns: state, journal, and how far each is applied and durable."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from msgspec.structs import replace

from processors.agents.alert_log_progress import AlertLogProgress
from processors.agents.journal import Journal
from processors.agents.journal_format import JournalPosition, SourceLog
from processors.agents.outbox import Cut, Outbox
from processors.core.ledger.ledger import Ledger
from processors.core.time.instants import LONG_AGO_US
from schemas import codec
from schemas.errors import BadRecord, Reason
from schemas.events import Event

logger = logging.getLogger(__name__)

NO_EVENT_ID = ""
"""No event has this id."""
NO_OFFSET = -1
"""The changelog offset of a partition that has read and written nothing yet."""


@dataclass(slots=True, eq=False)
class OwnedPartition:
    """One partition number over all events topics. All events of a customer are in one partition.

    Other modules change it through its methods; the timers alone set `caught_up` and `advance_due_at`.
    """

    number: int
    label: str
    """Its name in the read model: `<first events topic>/<number>`."""
    ledger: Ledger
    journal: Journal
    next_offsets: dict[str, int] = field(default_factory=dict)
    """Events topic to the broker's offset that is applied next."""
    logs: dict[str, SourceLog] = field(default_factory=dict)
    """Topic to the log behind its name."""
    durable_offsets: dict[str, int] = field(default_factory=dict)
    """Like `next_offsets`, as far as the changelog has it: these offsets may be committed."""
    directory_reported_to: dict[int, int] = field(default_factory=dict)
    """Partition of the directory's topic to the offset up to which refused entries have their dead letters."""
    changelog_offset: int = NO_OFFSET
    """The last changelog offset that the state contains."""
    recovered: bool = False
    caught_up: bool = False
    """Everything on the broker is applied, so time is the clock's and no longer the stream's."""
    live_since_us: int = LONG_AGO_US
    """This worker has watched every instant since. An alert for such an instant that is late is late through us."""
    advance_due_at: float = 0.0
    """While the partition lags, time does not advance before this (monotonic seconds)."""
    outbox: Outbox = field(default_factory=Outbox)
    epoch: int | None = None
    """Numbers the owners, the newest has the highest. None: this owner has not claimed the partition yet."""
    alert_log: AlertLogProgress = field(default_factory=AlertLogProgress)
    """How much of the alerts' topic this state knows."""
    sent_since_mark: bool = False
    """Something happened that the changelog's last position does not contain, even if no event came."""

    @property
    def position(self) -> int:
        """The number of applied source offsets. It never falls, so it fences the read model."""
        return sum(self.counted_offsets().values())

    def base(self, topic: str) -> int:
        """How many records of earlier logs of a topic count as applied."""
        log = self.logs.get(topic)
        return 0 if log is None else log.base

    def counted_offsets(self) -> dict[str, int]:
        """The next offsets as the journal counts them: they grow even when a topic begins a new log."""
        return {topic: self.base(topic) + offset for topic, offset in self.next_offsets.items()}

    def broker_offsets(self, position: JournalPosition) -> dict[str, int]:
        """The next offsets of a journal's position as the broker counts them."""
        return {topic: offset - self.base(topic) for topic, offset in position.next_offsets.items()}

    def mark_applied(self, topic: str, next_offset: int) -> None:
        """Everything before this offset of the broker is applied."""
        self.next_offsets[topic] = max(self.next_offsets.get(topic, 0), next_offset)

    def set_log(self, topic: str, log: SourceLog) -> None:
        """Remember which log is behind a topic's name; durable with the next flush."""
        self.logs[topic] = log
        self.sent_since_mark = True

    def adopt_ids(self, ids: Mapping[str, str | None]) -> None:
        """Add the broker's ids to logs whose id was not known."""
        for topic, topic_id in ids.items():
            log = self.logs.get(topic, SourceLog())
            if log.topic_id is None and topic_id is not None:
                self.set_log(topic, replace(log, topic_id=topic_id))

    def mark_reported(self, directory_partition: int, next_offset: int) -> None:
        """Refused entries of the directory before this offset have their dead letters."""
        self.directory_reported_to[directory_partition] = next_offset

    def restart_directory_reports(self) -> None:
        """The directory has a new log, of which nothing is reported yet."""
        self.directory_reported_to.clear()

    def outdate_mark(self) -> None:
        """Make the next flush write a position, even if no event came."""
        self.sent_since_mark = True

    def watch_from(self, instant_us: int) -> None:
        """Alerts that fell due before this instant are not late through us."""
        self.live_since_us = instant_us

    def claim(self, epoch: int, ends: Mapping[int, int], now: float) -> None:
        """Become the newest owner. `ends`: offsets after our records in the alerts' topic; `now`: monotonic seconds."""
        self.alert_log.acknowledge(ends)
        self.alert_log.claimed_at = now
        self.epoch = epoch
        # A successor reads from here where it has to begin, so it is written even if nothing else happens.
        self.outdate_mark()

    def drop_claim(self) -> None:
        """A newer owner was seen. If the partition is still assigned to us, the next flush claims it again."""
        self.epoch = None

    def restore(self, key: bytes, value: bytes | None, offset: int) -> int:
        """Add a changelog record; returns the number of new events in it. Raises JournalError.

        A recovered partition contains what it wrote itself. Any other record comes from an earlier owner that did not
        know yet that it had lost the partition. Its events are read from their topic here as well.
        """
        self.note_changelog_offset(offset)
        return 0 if self.recovered else self.journal.restore(key, value, self._replay)

    def note_changelog_offset(self, offset: int) -> None:
        """The changelog was read or written up to here."""
        self.changelog_offset = max(self.changelog_offset, offset)

    def begin(self, clock_us: int) -> None:
        """Recovery is complete: go on where the changelog ends. From here on, events are checked against the clock."""
        position = self.journal.position
        self.logs = dict(position.logs)
        self.next_offsets = self.broker_offsets(position)
        self.durable_offsets = dict(self.next_offsets)
        self.directory_reported_to = dict(position.directory_reported_to)
        self.alert_log = AlertLogProgress(dict(position.alerts))
        for event_id in self.journal.drain_left_over():
            self.ledger.forget(event_id)
        self.ledger.set_clock(clock_us)
        self.ledger.resume(position.advanced_us, position.quality, position.reps_fingerprint, position.examples)
        self.watch_from(clock_us)
        self.recovered = True

    def is_durable(self) -> bool:
        """Whether the changelog contains everything."""
        written = self.journal.is_written and self.next_offsets == self.durable_offsets
        return written and not self.sent_since_mark and self.outbox.pending_cut is None

    def cut(self) -> Cut:
        """The present position, and the changelog records that make it durable."""
        self.sent_since_mark = False
        ledger, quality = self.ledger, self.ledger.data_quality
        position = JournalPosition(
            self.counted_offsets(),
            ledger.advanced_us,
            quality.noted(),
            ledger.reps_fingerprint,
            dict(self.directory_reported_to),
            dict(quality.examples),
            dict(self.logs),
            self.alert_log.known_up_to(),
        )
        return position, self.journal.cut(position)

    def mark_durable(self, position: JournalPosition, changelog_offset: int) -> None:
        """The broker has acknowledged the changelog records of the pending cut."""
        self.outbox.pending_cut = None
        self.note_changelog_offset(changelog_offset)
        self.durable_offsets = self.broker_offsets(position)

    def raw(self, event_id: str) -> bytes:
        """A kept event's JSON, for the journal."""
        return codec.encode(self.ledger.facts[event_id])

    def __contains__(self, event_id: object) -> bool:
        return event_id in self.ledger.facts

    def _replay(self, raw: bytes) -> str:
        try:
            event = codec.parse_kept(raw)
        except codec.UNREADABLE as error:
            # Without an id nothing keeps it alive, so compaction drops it with its segment.
            logger.error("%s: an event of the journal cannot be read and is left out: %s", self.label, error)  # noqa: TRY400
            return NO_EVENT_ID
        # A newer policy may refuse what an older one accepted. Compaction drops it with its segment.
        with suppress(BadRecord):
            self._restore_event(event)
        return event.event_id

    def _restore_event(self, event: Event) -> None:
        """Apply an event of the journal. One that was corrected after its orphan was dropped replaces the orphan."""
        try:
            self.ledger.apply(event)
        except BadRecord as bad:
            if bad.reason is not Reason.CONFLICT:
                raise
            self.ledger.forget(event.event_id)
            self.ledger.apply(event)


class OwnedPartitions:
    """The partitions of the present assignment. One that goes to another worker is dropped at once."""

    def __init__(
        self, topics: tuple[str, ...], new_ledger: Callable[[], Ledger], new_writer: Callable[[], int]
    ) -> None:
        """`new_writer`: gives the journal of each new partition a number that no other journal has."""
        self.topics = topics
        self._new_ledger = new_ledger
        self._new_writer = new_writer
        self._partitions: dict[int, OwnedPartition] = {}
        self._generation = NO_OFFSET
        self._read_generation = NO_OFFSET

    def __iter__(self) -> Iterator[OwnedPartition]:
        return iter(list(self._partitions.values()))

    def __len__(self) -> int:
        return len(self._partitions)

    @property
    def assigned(self) -> bool:
        """Whether there was an assignment, even if it was empty."""
        return self._generation != NO_OFFSET

    @property
    def generation(self) -> int:
        """The generation of the consumer group that made this assignment."""
        return self._generation

    @property
    def changelogs_are_read(self) -> bool:
        """Whether the changelogs of the present assignment were read to their ends."""
        return self._read_generation == self._generation

    def set_changelogs_read(self, generation: int) -> None:
        """The changelogs of this generation's assignment were read to their ends."""
        self._read_generation = generation

    def get(self, number: int) -> OwnedPartition | None:
        """The partition of this number, if this worker owns it."""
        return self._partitions.get(number)

    def owns(self, partition: OwnedPartition) -> bool:
        """False once the partition has left this worker."""
        return self._partitions.get(partition.number) is partition

    def recovered(self) -> list[OwnedPartition]:
        """The partitions whose state is complete."""
        return [partition for partition in self._partitions.values() if partition.recovered]

    def assign(self, numbers: Iterable[int], generation: int) -> None:
        """Follow a new assignment of the consumer group.

        A partition keeps its state only from one generation to the very next: otherwise another worker may have owned
        it in between. A partition that was not recovered yet begins its recovery again.
        """
        kept = self.recovered() if generation == self._generation + 1 else []
        known = {partition.number: partition for partition in kept}
        self._generation = generation
        self._partitions = {
            number: known[number] if number in known else self._new_partition(number) for number in sorted(numbers)
        }

    def _new_partition(self, number: int) -> OwnedPartition:
        return OwnedPartition(number, f"{self.topics[0]}/{number}", self._new_ledger(), Journal(self._new_writer()))
