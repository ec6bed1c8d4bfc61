"""One partition folded again: its ledger, and what the workers noted about it and left out."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress

import msgspec

from config.clock import wall_us
from processors.agents.journal_format import SourceLog
from processors.commands.journal_facts import JournalFacts
from processors.commands.read_model_fields import FieldKey, Fields
from processors.core.folds.scoreboards import bump
from processors.core.ledger.data_quality import day_of, day_range, with_folded
from processors.core.ledger.ledger import MAX_CLOCK_SKEW_US, Ledger
from processors.core.ledger.retention import Retention
from processors.core.time.instants import DAY_MS, DAY_US, instant_us, moment
from processors.kafka.topic_reader import TopicRecord
from schemas.codec import decode_kept
from schemas.errors import BadRecord, Reason
from schemas.views import Changes

FRESH_MS = 3_600_000
"""A record older than this is in the journal."""
SWEEP_US = 2 * DAY_US
"""A worker sweeps once a day, so for this long after retention ends a fact may be gone or not."""
STRAY_MS = 300_000
"""How far apart neighbours' timestamps may lie: senders' clocks differ, and sending takes time."""
MAX_REMEMBERED_RECORDS = 100_000
"""How many of the latest records can still be taken back when their dead letters follow later."""

Source = tuple[str, int]
"""Topic and offset of a record of a partition."""


class RefoldedPartition:
    """One partition number: its ledger, and what the workers noted and left out of it."""

    def __init__(self, label: str, ledger: Ledger, expiry_us: int, logs: Mapping[str, SourceLog]) -> None:
        """`logs`: topic to the log that it is, as the journal has it."""
        self.label = label
        self.ledger = ledger
        self.next_offsets: dict[str, int] = {}
        """As the journal counts them, over all logs of a topic."""
        self._logs = logs
        self.orphans: dict[str, list[dict[str, int]]] = defaultdict(list)
        """event_id to the partition's next offsets each time that it was dropped as an orphan."""
        self._doubtful: set[FieldKey] = set()
        """Fields that retention is changing just now: a worker may have done so already or not."""
        self._begins: dict[str, int] = {}
        """Topic to its first offset that can be read, if it is not 0."""
        self._newest_ms = 0
        self._stamps_lie = False
        """Whether timestamps are no evidence of the day on which a record arrived."""
        self._oldest_sure = 0
        """Days before it may be among those that a worker drops about now, or counts older records on."""
        self._first_ms = max((log.since_us // 1000 for log in logs.values()), default=0)
        """When the first record came that the topics still have, if they have lost any."""
        self._fresh_ms = wall_us() // 1000 - FRESH_MS
        self._expiry_us = expiry_us
        self._old = moment(expiry_us)
        """Facts from before may be past retention."""
        self._fresh: set[str] = set()
        """Old events that came so lately that the journal may not have them yet."""
        self._remembered: set[str] = set()
        """Events that were taken from the journal."""
        self._noted: dict[int, dict[str, int]] = {}
        self._refused: dict[Source, Reason] = {}
        self._latest: dict[Source, tuple[str, int]] = {}
        """The latest records that counted: event_id and the day on which they came."""
        self._copies: dict[str, tuple[Source, int]] = {}
        """event_id to the last record that was a duplicate of one of them, and the day on which it came."""

    def base(self, topic: str) -> int:
        """How many records of earlier logs of a topic count as applied."""
        return self._logs.get(topic, SourceLog()).base

    def refuse(self, source: Source, reason: Reason) -> None:
        """A worker has put this record into the dead letters; if it counted here meanwhile, it no longer does."""
        if source in self._refused:
            return
        self._refused[source] = reason
        if source not in self._latest:
            return
        event_id, day = self._latest.pop(source)
        if event_id in self._copies:
            # It was sent again, and that counts instead.
            copy, copy_day = self._copies.pop(event_id)
            self._latest[copy] = (event_id, copy_day)
            self.note(copy_day, Reason.DUPLICATE, -1)
            self.note(day, reason)
        elif self.ledger.forget(event_id):
            self.note(day, reason)

    def note_unreadable(self, source: Source, last_offset: int, day: int) -> None:
        """A worker could not read these offsets, and we cannot either."""
        if source in self._refused:
            return
        self._refused[source] = Reason.UNREADABLE_BATCH
        self.note(day, Reason.UNREADABLE_BATCH)
        topic, offset = source
        if offset <= self._begins.get(topic, 0):
            self._begins[topic] = max(self._begins.get(topic, 0), last_offset + 1)

    def old_us(self) -> int | None:
        """Before which instant facts are old enough to ask the journal about them; None: there are none."""
        if self._first_ms:
            return max(self._expiry_us, self._first_ms * 1000 + MAX_CLOCK_SKEW_US)
        oldest = min((fact.occurred_at for fact in self.ledger.facts.values()), default=None)
        return self._expiry_us if oldest is not None and oldest < self._old else None

    def keep(self, kept: JournalFacts) -> None:
        """Follow the journal for old facts: add those that the topics lost, forget those that retention dropped."""
        for event_id, event in kept.events.items():
            if event_id not in self.ledger.facts:
                # It may be bad by a newer policy.
                with suppress(BadRecord):
                    self.ledger.apply(event)
                    self._remembered.add(event_id)
        for event_id, fact in list(self.ledger.facts.items()):
            if fact.occurred_at < self._old and event_id not in kept.events and event_id not in self._fresh:
                self.ledger.forget(event_id)

    def add(self, record: TopicRecord) -> None:
        """Fold a record."""
        if record.topic not in self.next_offsets and record.offset > self._begins.get(record.topic, 0):
            self._first_ms = max(self._first_ms, record.timestamp_ms)
        self._watch_stamp(record.timestamp_ms)
        source, day = (record.topic, record.offset), day_of(record.timestamp_ms)
        self.next_offsets[record.topic] = self.base(record.topic) + record.offset + 1
        try:
            reason = self._refused.get(source) or self._apply(record, source, day)
        except BadRecord as bad:
            reason = bad.reason
        if reason is not None:
            self.note(day, reason)

    def finish_reading(self) -> None:
        """Drop the orphans that were dropped by now."""
        for event_id in list(self.orphans):
            self._drop_orphan(event_id, self.next_offsets)

    def fields(self, now_us: int, new_retention: Callable[[], Retention]) -> Fields:
        """Every field, as the facts have it at an instant."""
        self.ledger.advance(now_us)
        self._sweep(now_us - SWEEP_US, new_retention())
        found = self._named(self.ledger.everything()) | self._quality()
        self._sweep(now_us, new_retention())
        swept = self.ledger.drain_changes()
        gone = {(self.label, section, field) for section, fields in swept.deletes.items() for field in fields}
        self._keep_days(now_us, new_retention().windows_us)
        quality = self._quality()
        days = {key for key in found.keys() | quality.keys() if key[1] == "quality"}
        changed = {key for key in days if found.get(key) != quality.get(key)}
        self._doubtful |= self._named(swept).keys() | gone | changed
        return found

    def is_doubtful(self, field_key: FieldKey) -> bool:
        """Whether a field's right value is unknown: retention is changing it just now, or its records are lost."""
        label, section, field = field_key
        if (label, section) == (self.label, "quality"):
            is_lost = self._first_ms > 0 and int(field) <= self._first_ms // DAY_MS
            return is_lost or self._stamps_lie or int(field) < self._oldest_sure or field_key in self._doubtful
        return section == "examples" or field_key in self._doubtful

    def _watch_stamp(self, timestamp_ms: int) -> None:
        """A record stamped ahead counts on the day on which it arrived, and that day is not known any more."""
        self._newest_ms = max(self._newest_ms, timestamp_ms)
        if timestamp_ms < 0 or timestamp_ms < self._newest_ms - STRAY_MS:
            self._stamps_lie = True

    def _keep_days(self, now_us: int, windows_us: int) -> None:
        """Drop the days that windows no longer see."""
        oldest, _ = day_range(now_us, windows_us)
        self._oldest_sure = oldest + SWEEP_US // DAY_US + 1
        if self._newest_ms * 1000 > now_us + MAX_CLOCK_SKEW_US:
            self._stamps_lie = True
        self._noted = {day: counts for day, counts in self._noted.items() if day >= oldest}

    def _quality(self) -> Fields:
        days = with_folded(self._noted, self.ledger.quality)
        return {(self.label, "quality", str(day)): msgspec.msgpack.encode(counts) for day, counts in days.items()}

    def _apply(self, record: TopicRecord, source: Source, day: int) -> Reason | None:
        """Apply an event. Gives what is to be noted of it, or raises BadRecord."""
        if record.value is None:
            return Reason.TOMBSTONE
        # What this version refuses, and no dead letter names, an earlier version has counted.
        event = decode_kept(record.value)
        if event.event_id in self.orphans:
            self._drop_orphan(event.event_id, {record.topic: self.base(record.topic) + record.offset})
        if record.timestamp_ms >= self._fresh_ms and event.occurred_at < self._old:
            self._fresh.add(event.event_id)
        if self.ledger.apply(event) == "duplicate":
            if event.event_id not in self._remembered:
                self._copies[event.event_id] = (source, day)
                if len(self._copies) > MAX_REMEMBERED_RECORDS:
                    del self._copies[next(iter(self._copies))]
                return Reason.DUPLICATE
            self._remembered.discard(event.event_id)
        self._latest[source] = (event.event_id, day)
        if len(self._latest) > MAX_REMEMBERED_RECORDS:
            event_id, _ = self._latest.pop(next(iter(self._latest)))
            self._copies.pop(event_id, None)
        return None

    def _drop_orphan(self, event_id: str, reached: dict[str, int]) -> None:
        """Drop an orphan that was dropped before these offsets. One reported twice, after a crash, is gone already."""
        dropped = self.orphans[event_id]
        while dropped and all(dropped[0].get(topic, 0) <= offset for topic, offset in reached.items()):
            dropped.pop(0)
            fact = self.ledger.facts.get(event_id)
            if fact is not None and self.ledger.forget(event_id):
                self.note(instant_us(fact.occurred_at) // DAY_US, Reason.ORPHAN)

    def note(self, day: int, reason: Reason, more: int = 1) -> None:
        """Count something of the data quality on a day."""
        bump(self._noted.setdefault(day, {}), str(reason), more)

    def _sweep(self, now_us: int, retention: Retention) -> None:
        """Forget what is past retention at an instant."""
        self.ledger.retention = retention
        self.ledger.advance(now_us)
        while retention.is_sweeping:
            self.ledger.advance(now_us)
        self.ledger.retention = None

    def _named(self, changes: Changes) -> Fields:
        """All but the data quality."""
        puts = ((section, fields) for section, fields in changes.puts.items() if section != "quality")
        return {(self.label, section, field): value for section, fields in puts for field, value in fields.items()}
