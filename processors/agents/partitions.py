"""The partitions that this worker owns: their ledgers, journals, and how far each is applied and durable."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from msgspec.structs import replace

from processors.agents.alert_log_progress import AlertLogProgress
from processors.agents.journal import Entry, Journal
from processors.agents.journal_format import JournalPosition, SourceLog
from processors.agents.kafka_writer import OutgoingRecord
from processors.core.instants import LONG_AGO_US
from processors.core.ledger import Ledger
from schemas import codec
from schemas.errors import BadRecord, Reason
from schemas.events import Event

logger = logging.getLogger(__name__)

NO_EVENT_ID = ""
"""The id that no event has."""
NO_OFFSET = -1
"""The changelog offset of a part into which nothing was read or written yet."""


@dataclass(slots=True, eq=False)
class OwnedPartition:
    """Everything about one partition number, over all events topics: one customer is in one part."""

    number: int
    label: str
    """Its name in the read model: `<first events topic>/<number>`."""
    ledger: Ledger
    journal: Journal
    next_offsets: dict[str, int] = field(default_factory=dict)
    """Events topic to the broker's offset that is applied next."""
    logs: dict[str, SourceLog] = field(default_factory=dict)
    """Topic to the log that it is."""
    durable: dict[str, int] = field(default_factory=dict)
    """The same, of what the broker has acknowledged in the changelog: what may be committed."""
    told: dict[int, int] = field(default_factory=dict)
    """Partition of the directory's topic to the offset up to which its refused entries are dead letters."""
    changelog_offset: int = NO_OFFSET
    """The last changelog offset that is contained."""
    recovered: bool = False
    caught_up: bool = False
    """Everything on the broker is applied: time is the clock's, not the stream's."""
    watched_us: int = LONG_AGO_US
    """What passed after this instant passes under our eyes: if its alert is late, that is our doing."""
    advance_due: float = 0.0
    """While it lags, time does not pass for it before this (monotonic seconds)."""
    unsent: list[OutgoingRecord] = field(default_factory=list)
    """Dead letters and alert transitions."""
    outbox: "list[asyncio.Task[None]]" = field(default_factory=list)
    """Those on their way. They are acknowledged before the part becomes durable."""
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    """They go out in order, one after the other."""
    awaited: "list[asyncio.Task[None]]" = field(default_factory=list)
    """Those that the cut waits for."""
    owed: "tuple[JournalPosition, list[Entry]] | None" = None
    """A cut whose changelog records are not written yet: what was to be sent before them is not acknowledged."""
    epoch: int | None = None
    """Which owner this is: later ones have higher numbers. None: it has not claimed the part in the changelog yet."""
    former: AlertLogProgress = field(default_factory=AlertLogProgress)
    """What former owners sent, and this state may not know of."""
    spoken: bool = False
    """Something was sent that the mark in the changelog does not know of."""
    flushing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def position(self) -> int:
        """How many source offsets are applied: it only grows, and fences the read model."""
        return sum(self.counted_offsets().values())

    def base(self, topic: str) -> int:
        """How many records of earlier logs of a topic count as applied."""
        log = self.logs.get(topic)
        return 0 if log is None else log.base

    def counted_offsets(self) -> dict[str, int]:
        """The next offsets as the journal counts them: they only grow, also when a topic begins a new log."""
        return {topic: self.base(topic) + offset for topic, offset in self.next_offsets.items()}

    def broker_offsets(self, mark: JournalPosition) -> dict[str, int]:
        """The next offsets of a mark as the broker counts them."""
        return {topic: offset - self.base(topic) for topic, offset in mark.next_offsets.items()}

    def adopt_ids(self, ids: Mapping[str, str | None]) -> None:
        """Take the ids of topics whose log was not known; they become durable with the next flush."""
        for topic, topic_id in ids.items():
            log = self.logs.get(topic, SourceLog())
            if log.topic_id is None and topic_id is not None:
                self.logs[topic] = replace(log, topic_id=topic_id)
                self.spoken = True

    def restore(self, key: bytes, value: bytes | None, offset: int) -> int:
        """Take a changelog record; gives the number of events in it that are new. Raises JournalError."""
        self.changelog_offset = max(self.changelog_offset, offset)
        return self.journal.restore(key, value, self._replay)

    def begin(self, clock_us: int) -> None:
        """Recovery is complete: go on where the changelog ends. From here on, facts are held against the clock."""
        mark = self.journal.mark
        self.logs = dict(mark.logs)
        self.next_offsets = self.broker_offsets(mark)
        self.durable = dict(self.next_offsets)
        self.told = dict(mark.told)
        self.former = AlertLogProgress(dict(mark.alerts))
        for event_id in self.journal.take_left_over():
            self.ledger.forget(event_id)
        self.ledger.set_clock(clock_us)
        self.ledger.begin(mark.advanced_us, mark.quality, mark.places, mark.examples)
        self.watched_us = clock_us
        self.recovered = True

    def is_durable(self) -> bool:
        """Whether the changelog says all that there is to say."""
        settled = self.journal.owes_nothing and self.next_offsets == self.durable
        return settled and not self.spoken and self.owed is None

    def cut(self) -> tuple[JournalPosition, list[Entry]]:
        """Where the part is now, and the changelog records that make it durable."""
        self.spoken = False
        ledger, quality = self.ledger, self.ledger.data_quality
        mark = JournalPosition(
            self.counted_offsets(),
            ledger.advanced_us,
            quality.noted(),
            ledger.desks.places,
            dict(self.told),
            dict(quality.examples),
            dict(self.logs),
            self.former.known_up_to(),
        )
        return mark, self.journal.cut(mark)

    def raw(self, event_id: str) -> bytes:
        """A kept event's JSON, for the journal."""
        return codec.encode(self.ledger.facts[event_id])

    def __contains__(self, event_id: object) -> bool:
        return event_id in self.ledger.facts

    def _replay(self, raw: bytes) -> str:
        try:
            event = codec.parse_kept(raw)
        except codec.UNREADABLE as error:
            # It has no id any more, so nothing holds it: its segment wears out by and by.
            logger.error("%s: an event of the journal cannot be read and is left out: %s", self.label, error)  # noqa: TRY400
            return NO_EVENT_ID
        # What was good when it was journalled may be bad by a newer policy. Its segment wears out by and by.
        with suppress(BadRecord):
            self._restore_event(event)
        return event.event_id

    def _restore_event(self, event: Event) -> None:
        """Apply an event of the journal. One that came mended, after its orphan was dropped, replaces the orphan."""
        try:
            self.ledger.apply(event)
        except BadRecord as bad:
            if bad.reason is not Reason.CONFLICT:
                raise
            self.ledger.forget(event.event_id)
            self.ledger.apply(event)


class OwnedPartitions:
    """The parts of the present assignment. A part leaves at once when it is assigned to another worker."""

    def __init__(
        self, topics: tuple[str, ...], new_ledger: Callable[[], Ledger], new_writer: Callable[[], int]
    ) -> None:
        self.topics = topics
        self._new_ledger = new_ledger
        self._new_writer = new_writer
        self._parts: dict[int, OwnedPartition] = {}
        self._generation = NO_OFFSET
        self._read_generation = NO_OFFSET

    def __iter__(self) -> Iterator[OwnedPartition]:
        return iter(list(self._parts.values()))

    def __len__(self) -> int:
        return len(self._parts)

    @property
    def assigned(self) -> bool:
        """Whether there was an assignment, even if it was of nothing."""
        return self._generation != NO_OFFSET

    @property
    def generation(self) -> int:
        """The generation of the consumer group whose assignment this is."""
        return self._generation

    @property
    def are_read(self) -> bool:
        """Whether the changelogs of the present assignment were read to their ends."""
        return self._read_generation == self._generation

    def set_read(self, generation: int) -> None:
        """The changelogs of this generation's assignment were read to their ends."""
        self._read_generation = generation

    def get(self, number: int) -> OwnedPartition | None:
        """The part of a partition number, if this worker owns it."""
        return self._parts.get(number)

    def owns(self, part: OwnedPartition) -> bool:
        """False once the part has left."""
        return self._parts.get(part.number) is part

    def recovered(self) -> list[OwnedPartition]:
        """The parts whose state is complete."""
        return [part for part in self._parts.values() if part.recovered]

    def assign(self, numbers: Iterable[int], generation: int) -> None:
        """Take over a new assignment of the consumer group.

        A part is kept only from one generation to the very next one: else another worker may have had it in between.
        """
        kept = self._parts if generation == self._generation + 1 else {}
        self._generation = generation
        self._parts = {n: kept[n] if n in kept and kept[n].recovered else self._new_part(n) for n in sorted(numbers)}

    def _new_part(self, number: int) -> OwnedPartition:
        return OwnedPartition(number, f"{self.topics[0]}/{number}", self._new_ledger(), Journal(self._new_writer()))
