"""The old facts that workers keep, from their journal.

Nothing else knows them: topics delete records of which workers keep what is still needed, such as the revenue of a
customer who stays; and workers drop what is past retention, even when something of the same root comes later.
"""

from collections.abc import Mapping
from contextlib import suppress

from config.settings import KafkaSettings
from processors.agents.journal import Journal
from processors.agents.journal_format import ForeignRecord, JournalError
from processors.agents.partitions import NO_EVENT_ID
from processors.core.time.instants import instant_us
from processors.kafka.topic_reader import read_topics
from schemas.codec import UNREADABLE, parse_kept
from schemas.errors import Unavailable
from schemas.events import Event

READER = 0
"""The writer id of a reader, which no worker has."""


class JournalFacts:
    """The events of one partition's journal that are older than an instant (microseconds since 1970)."""

    def __init__(self, before_us: int) -> None:
        self.before_us = before_us
        self.events: dict[str, Event] = {}
        self._journal = Journal(READER)

    def add(self, key: bytes, value: bytes | None) -> None:
        """Add a record of the journal. Raises JournalError."""
        # Workers pass over what none of them has written.
        with suppress(ForeignRecord):
            self._journal.restore(key, value, self._replay)

    def finish(self) -> None:
        """Drop the events whose segments are incomplete."""
        for event_id in self._journal.drain_left_over():
            self.events.pop(event_id, None)

    def _replay(self, raw: bytes) -> str:
        try:
            event = parse_kept(raw)
        except UNREADABLE:
            # The workers leave it out as well, and log it.
            return NO_EVENT_ID
        if instant_us(event.occurred_at) < self.before_us:
            self.events[event.event_id] = event
        return event.event_id


def read_journal_facts(kafka: KafkaSettings, before_us: Mapping[int, int]) -> dict[int, JournalFacts]:
    """The old events of some partitions, each before an instant of its own; raises Unavailable, UsageError."""
    kept = {number: JournalFacts(instant) for number, instant in before_us.items()}
    if not kept:
        return kept
    try:
        for record in read_topics(kafka, (kafka.journal_topic,)):
            part = kept.get(record.partition)
            if part is not None:
                part.add(record.key or b"", record.value)
    except JournalError as error:
        raise Unavailable(f"{kafka.journal_topic}: {error}") from error
    for part in kept.values():
        part.finish()
    return kept
