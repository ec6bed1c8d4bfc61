"""The topics folded again from their first record: what the read model should contain.

Results that depend on when a record arrived (S13, S28) come from the dead letters, which list what the workers left
out. For facts as old as retention, and for those that the topics have lost, the workers' journal decides what is kept.
"""

from collections import Counter
from collections.abc import Mapping

import msgspec

from config.clock import Clock
from config.load_policy import load_policy
from config.settings import Settings
from processors.agents.directory_dead_letters import REPORTING_PARTITION
from processors.agents.journal_format import SourceLog
from processors.commands.journal_facts import JournalFacts
from processors.commands.read_model_fields import DIRECTORY, FieldKey, Fields
from processors.commands.refolded_partition import RefoldedPartition
from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import Retention
from processors.core.state.directory import directory_of
from processors.core.time.instants import DAY_MS, FOREVER_US
from processors.kafka.topic_reader import TopicRecord
from schemas.codec import UNREADABLE, decode_event, decode_rep
from schemas.errors import BadRecord, Reason

_next_offsets = msgspec.json.Decoder(dict[str, int])


class RefoldedTopics:
    """One ledger for each partition number, over all events topics, as in the workers."""

    def __init__(self, settings: Settings, logs: Mapping[int, Mapping[str, SourceLog]] | None = None) -> None:
        """`logs`: of each partition, the logs of its topics that the workers' journal knows."""
        self._logs = logs or {}
        self._policy = load_policy(settings.policy.path)
        self._settings = settings
        self._directory = directory_of(self._policy)
        self._expiry_us = Clock(settings.clock).now_us() - self._retention().shortest_us
        self._changed_reps: set[str] = set()
        self._refused_entries: set[tuple[int, int]] = set()
        self._parts: dict[int, RefoldedPartition] = {}
        self.records = 0
        self.foreign_letters = 0
        """Dead letters that no worker wrote: they describe no record."""

    def positions(self) -> dict[str, int]:
        """Partition to how many source offsets are folded, as the fence of the read model counts."""
        return {part.label: sum(part.next_offsets.values()) for part in self._parts.values()}

    def ledgers(self) -> list[Ledger]:
        """One for each partition number."""
        return [part.ledger for part in self._parts.values()]

    def split_customers(self) -> dict[str, list[int]]:
        """Customers with facts in several partitions, with their numbers: no worker sees all of such a customer."""
        customers = {number: part.ledger.customers for number, part in sorted(self._parts.items())}
        partitions = Counter(customer_id for known in customers.values() for customer_id in known)
        return {
            customer_id: [number for number, known in customers.items() if customer_id in known]
            for customer_id, count in partitions.items()
            if count > 1
        }

    def concerns(self, letter: TopicRecord) -> bool:
        """Whether a dead letter is of this consumer group, or older than their naming one."""
        group = self._settings.kafka.group
        return letter.headers.get("group", group) == group

    def leave_out(self, letter: TopicRecord) -> None:
        """Take back the record of a dead letter, or never count it. Letters of other groups are ignored."""
        headers, reason = letter.headers, letter.headers.get("reason", "")
        if reason not in list(Reason):
            return
        if not self.concerns(letter):
            return
        try:
            if headers.get("topic") == self._settings.kafka.reps_topic:
                source = (int(headers["partition"]), int(headers["offset"]))
                self._refuse_entry(source, int(headers["timestamp_ms"]), Reason(reason))
            elif headers.get("topic") in self._settings.kafka.events_topics:
                self._leave_out_event(letter, Reason(reason))
        except (KeyError, ValueError, BadRecord, *UNREADABLE):
            self.foreign_letters += 1

    def _leave_out_event(self, letter: TopicRecord, reason: Reason) -> None:
        headers = letter.headers
        part = self._part(int(headers["partition"]))
        if "offset" in headers and int(headers.get("log_base", 0)) != part.base(headers["topic"]):
            return  # of an earlier log of the topic
        if reason is Reason.UNREADABLE_BATCH:
            day = int(headers["timestamp_ms"]) // DAY_MS
            part.note_unreadable((headers["topic"], int(headers["offset"])), int(headers["last_offset"]), day)
        elif "offset" in headers:
            part.refuse((headers["topic"], int(headers["offset"])), reason)
        elif reason is Reason.ORPHAN and "next_offsets" in headers and letter.value is not None:
            part.orphans[decode_event(letter.value).event_id].append(_next_offsets.decode(headers["next_offsets"]))

    def add(self, record: TopicRecord) -> None:
        """Fold a record."""
        self.records += 1
        if record.topic == self._settings.kafka.reps_topic:
            self._add_rep(record)
        else:
            self._part(record.partition).add(record)

    def finish_reading(self) -> None:
        """All that there was is folded."""
        for part in self._parts.values():
            part.finish_reading()
            part.ledger.reps_changed(self._changed_reps)
        self._changed_reps.clear()

    def old(self) -> dict[int, int]:
        """Partitions of which the journal is to be asked, for facts before an instant (microseconds since 1970)."""
        instants = {number: part.old_us() for number, part in self._parts.items()}
        return {number: old_us for number, old_us in instants.items() if old_us is not None}

    def keep(self, kept: Mapping[int, JournalFacts]) -> None:
        """Of old facts, those count that the journal has."""
        for number, part in kept.items():
            self._parts[number].keep(part)

    def is_doubtful(self, field_key: FieldKey) -> bool:
        """Whether a field's right value is unknown: retention is changing it just now, or its records are lost."""
        return any(part.is_doubtful(field_key) for part in self._parts.values())

    def fields(self, now_us: int) -> Fields:
        """Every field of the read model, as the facts have it at an instant."""
        found: Fields = {}
        for part in self._parts.values():
            found |= part.fields(now_us, self._retention)
        for rep in self._directory:
            found["", DIRECTORY, rep.rep_id] = msgspec.msgpack.encode(rep)
        return found

    def _retention(self) -> Retention:
        """As the workers have it, but for orphans, which are theirs to drop."""
        kept = self._settings.retention
        return Retention.of_days(kept.windows_kept_days, kept.roots_days, FOREVER_US)

    def _part(self, number: int) -> RefoldedPartition:
        part = self._parts.get(number)
        if part is None:
            label = f"{self._settings.kafka.events_topics[0]}/{number}"
            part = self._parts[number] = RefoldedPartition(
                label, Ledger(self._policy, self._directory), self._expiry_us, self._logs.get(number, {})
            )
        return part

    def _add_rep(self, record: TopicRecord) -> None:
        try:
            rep = decode_rep(record.value) if record.value is not None else None
            rep_id = rep.rep_id if rep is not None else (record.key or b"").decode("utf-8", "replace")
            if self._directory.put(rep) if rep is not None else self._directory.remove(rep_id):
                self._changed_reps.add(rep_id)
        except BadRecord as bad:
            self._refuse_entry((record.partition, record.offset), record.timestamp_ms, bad.reason)

    def _refuse_entry(self, source: tuple[int, int], at_ms: int, reason: Reason) -> None:
        """A refused entry of the directory is noted once, though compaction may have left its dead letter alone."""
        if source not in self._refused_entries:
            self._refused_entries.add(source)
            self._part(REPORTING_PARTITION).note(at_ms // DAY_MS, reason)
