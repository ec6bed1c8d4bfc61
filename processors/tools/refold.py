"""The topics folded again: what the read model should say, from the first record on.

What depended on when a record came (S13, S28) is taken from the dead letters: they say what the workers left out.
"""

from collections import defaultdict

import msgspec

from config.load_policy import load_policy
from config.settings import RetentionSettings, Settings
from processors.agents.refusals import SPEAKER
from processors.core.changes import with_folded
from processors.core.desks import bump
from processors.core.directory import directory_of
from processors.core.instants import DAY_US, FOREVER_US, instant_us
from processors.core.ledger import Ledger
from processors.core.retention import Retention
from processors.tools.published import DIRECTORY, Fields, Place
from processors.tools.topic import TopicRecord
from schemas.codec import decode_event, decode_rep
from schemas.errors import BadRecord, Reason
from schemas.views import Changes

DAY_MS = 86_400_000
SWEEP_US = 2 * DAY_US
"""A worker forgets what is past retention once a day: within so much time, it may have done so or not."""
REMEMBERED = 100_000
"""So many of the latest records can still be taken back, when their dead letters come after them."""

Source = tuple[str, int]
"""Topic and offset of a record of a partition."""
_next_offsets = msgspec.json.Decoder(dict[str, int])


class Refold:
    """One ledger for each partition number, over all events topics, as in the workers."""

    def __init__(self, settings: Settings) -> None:
        self._policy = load_policy(settings.policy.path)
        self._settings = settings
        self._directory = directory_of(self._policy)
        self._changed_reps: set[str] = set()
        self._refused_entries: set[tuple[int, int]] = set()
        self._parts: dict[int, _Part] = {}
        self.doubtful: set[Place] = set()
        """Fields that retention changes about now: nobody can say whether a worker has done so already."""
        self.records = 0

    def positions(self) -> dict[str, int]:
        """Partition to how many source offsets are folded, as the fence of the read model counts."""
        return {part.label: sum(part.next_offsets.values()) for part in self._parts.values()}

    def ledgers(self) -> list[Ledger]:
        """One for each partition number."""
        return [part.ledger for part in self._parts.values()]

    def torn(self) -> dict[str, list[int]]:
        """Customers of whom several partitions have facts, with their numbers: no worker sees all of such a one."""
        found: dict[str, list[int]] = defaultdict(list)
        known: dict[str, int] = {}
        for number, part in sorted(self._parts.items()):
            for customer_id in part.ledger.customers:
                first = known.setdefault(customer_id, number)
                if first != number:
                    found[customer_id] = [*(found.get(customer_id) or [first]), number]
        return dict(found)

    def concerns(self, letter: TopicRecord) -> bool:
        """Whether a dead letter is of this consumer group, or older than their naming one."""
        group = self._settings.kafka.group
        return letter.headers.get("group", group) == group

    def leave_out(self, letter: TopicRecord) -> None:
        """A dead letter: its record does not count, or no longer. Those of other groups say nothing here."""
        headers, reason = letter.headers, letter.headers.get("reason", "")
        if reason not in list(Reason):
            return
        if not self.concerns(letter):
            return
        if headers.get("topic") == self._settings.kafka.reps_topic:
            place = (int(headers["partition"]), int(headers["offset"]))
            self._refuse_entry(place, int(headers["timestamp_ms"]), Reason(reason))
        elif headers.get("topic") in self._settings.kafka.events_topics:
            self._leave_out_event(letter, Reason(reason))

    def _leave_out_event(self, letter: TopicRecord, reason: Reason) -> None:
        headers = letter.headers
        part = self._part(int(headers["partition"]))
        if "offset" in headers:
            part.refuse((headers["topic"], int(headers["offset"])), reason)
        elif reason is Reason.ORPHAN and "next_offsets" in headers and letter.value is not None:
            part.orphans[decode_event(letter.value).event_id].append(_next_offsets.decode(headers["next_offsets"]))

    def take(self, record: TopicRecord) -> None:
        """Fold a record."""
        self.records += 1
        if record.topic == self._settings.kafka.reps_topic:
            self._take_rep(record)
        else:
            self._part(record.partition).take(record)

    def finish_reading(self) -> None:
        """All that there was is folded."""
        for part in self._parts.values():
            part.finish_reading()
            part.ledger.reps_changed(self._changed_reps)
        self._changed_reps.clear()

    def fields(self, now_us: int) -> Fields:
        """Every field of the read model, as the facts have it at an instant."""
        found: Fields = {}
        for part in self._parts.values():
            found |= part.fields(now_us, self._settings.retention)
            self.doubtful |= part.doubtful
        for rep in self._directory:
            found["", DIRECTORY, rep.rep_id] = msgspec.msgpack.encode(rep)
        return found

    def _part(self, number: int) -> "_Part":
        part = self._parts.get(number)
        if part is None:
            label = f"{self._settings.kafka.events_topics[0]}/{number}"
            part = self._parts[number] = _Part(label, Ledger(self._policy, self._directory))
        return part

    def _take_rep(self, record: TopicRecord) -> None:
        try:
            rep = decode_rep(record.value) if record.value is not None else None
            rep_id = rep.rep_id if rep is not None else (record.key or b"").decode("utf-8", "replace")
            if self._directory.put(rep) if rep is not None else self._directory.remove(rep_id):
                self._changed_reps.add(rep_id)
        except BadRecord as bad:
            self._refuse_entry((record.partition, record.offset), record.timestamp_ms, bad.reason)

    def _refuse_entry(self, place: tuple[int, int], at_ms: int, reason: Reason) -> None:
        """A refused entry of the directory is noted once, though compaction may have left its dead letter alone."""
        if place not in self._refused_entries:
            self._refused_entries.add(place)
            self._part(SPEAKER).note(at_ms // DAY_MS, reason)


class _Part:
    """One partition number: its ledger, and what the workers noted and left out of it."""

    def __init__(self, label: str, ledger: Ledger) -> None:
        self.label = label
        self.ledger = ledger
        self.next_offsets: dict[str, int] = {}
        self.orphans: dict[str, list[dict[str, int]]] = defaultdict(list)
        """event_id to the partition's next offsets each time that it was dropped as an orphan."""
        self.doubtful: set[Place] = set()
        self._noted: dict[int, dict[str, int]] = {}
        self._refused: dict[Source, Reason] = {}
        self._latest: dict[Source, tuple[str, int]] = {}
        """The latest records that counted: event_id and the day on which they came."""

    def refuse(self, source: Source, reason: Reason) -> None:
        """A worker has put this record into the dead letters; if it counted here meanwhile, it no longer does."""
        if source in self._refused:
            return
        self._refused[source] = reason
        event_id, day = self._latest.pop(source, ("", 0))
        if self.ledger.forget(event_id):
            self.note(day, reason)

    def take(self, record: TopicRecord) -> None:
        """Fold a record."""
        source, day = (record.topic, record.offset), record.timestamp_ms // DAY_MS
        self.next_offsets[record.topic] = record.offset + 1
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

    def fields(self, now_us: int, kept: RetentionSettings) -> Fields:
        """Every field, as the facts have it at an instant."""
        self.ledger.advance(now_us)
        self._sweep(now_us - SWEEP_US, kept)
        found = self._named(self.ledger.everything())
        self._sweep(now_us, kept)
        swept = self.ledger.take_changes()
        gone = {(self.label, section, field) for section, fields in swept.deletes.items() for field in fields}
        self.doubtful |= self._named(swept).keys() | gone
        for day, counts in with_folded(self._noted, self.ledger.quality).items():
            found[self.label, "quality", str(day)] = msgspec.msgpack.encode(counts)
        return found

    def _apply(self, record: TopicRecord, source: Source, day: int) -> Reason | None:
        """Apply an event. Gives what is to be noted of it, or raises BadRecord."""
        if record.value is None:
            return Reason.TOMBSTONE
        event = decode_event(record.value)
        if event.event_id in self.orphans:
            self._drop_orphan(event.event_id, {record.topic: record.offset})
        if self.ledger.apply(event) == "duplicate":
            return Reason.DUPLICATE
        self._latest[source] = (event.event_id, day)
        if len(self._latest) > REMEMBERED:
            del self._latest[next(iter(self._latest))]
        return None

    def _drop_orphan(self, event_id: str, reached: dict[str, int]) -> None:
        """Drop an orphan that was dropped before these offsets. What was said again after a crash is gone already."""
        dropped = self.orphans[event_id]
        while dropped and all(dropped[0].get(topic, 0) <= offset for topic, offset in reached.items()):
            dropped.pop(0)
            fact = self.ledger.facts.get(event_id)
            if fact is not None and self.ledger.forget(event_id):
                self.note(instant_us(fact.occurred_at) // DAY_US, Reason.ORPHAN)

    def note(self, day: int, reason: Reason) -> None:
        """Count something of the data quality on a day."""
        bump(self._noted.setdefault(day, {}), str(reason), 1)

    def _sweep(self, now_us: int, kept: RetentionSettings) -> None:
        """Forget what is past retention at an instant; orphans are the workers' to drop."""
        windows_us = (kept.windows_days + kept.slack_days) * DAY_US
        self.ledger.retention = Retention(windows_us, kept.roots_days * DAY_US, FOREVER_US)
        self.ledger.advance(now_us)
        while self.ledger.retention.is_sweeping:
            self.ledger.advance(now_us)
        self.ledger.retention = None

    def _named(self, changes: Changes) -> Fields:
        """All but the data quality."""
        puts = ((section, fields) for section, fields in changes.puts.items() if section != "quality")
        return {(self.label, section, field): value for section, fields in puts for field, value in fields.items()}
