"""`salespulse topics --accept-new-log`: go on with a topic that was made anew or has lost its end, keeping all facts.

For each partition whose log is another one, or ends before what was applied, one record is added to the workers'
journal: the new log's id, and how many records of earlier logs count as applied. From there on the new log is read from
its first record; what was applied already is a duplicate. The journal's own count goes on, and so does the fence of the
read model.
"""

import asyncio
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress

from aiokafka.errors import KafkaError
from faust.types import TP
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from msgspec.structs import replace
from rich.console import Console

from config.clock import wall_us
from config.settings import KafkaSettings, Settings
from processors.agents.journal import Journal
from processors.agents.journal_format import ForeignRecord, JournalPosition, SourceLog, decode_segment
from processors.commands.read_model_fields import read_positions
from processors.commands.topic_extents import Extent, extents, require_no_workers
from processors.kafka.admin import admin_client
from processors.kafka.connection import unreachable
from processors.kafka.producer import producer
from processors.kafka.topic_identity import topic_ids
from processors.kafka.topic_reader import TopicReader, consumer, read_topics
from schemas.errors import Unavailable

TAIL_RECORDS = 100
"""The last records of a journal: the last one holds the partition's position, unless a worker died while writing."""


def accept_new_log(settings: Settings, console: Console) -> int:
    """Accept the logs that are there now; gives the exit code. Raises Unavailable, UsageError while workers run."""
    kafka = settings.kafka
    with admin_client(kafka) as admin:
        require_no_workers(admin, kafka)
        journals = read_journals(kafka)
        ids, held = _topic_ids(kafka), extents(kafka, kafka.events_topics)
        labels = {number: f"{kafka.events_topics[0]}/{number}" for number in journals}
        fences = asyncio.run(read_positions(settings, list(labels.values())))
        for number, journal in journals.items():
            known = journal.position
            mine = {tp.topic: held[tp] for tp in held if tp.partition == number}
            position = accepted(known, ids, mine, fences.get(labels[number], 0))
            for topic in changed_topics(known, position):
                console.print(
                    f"{topic}/{number}: {known.next_offsets.get(topic, 0):,} records were applied; their facts "
                    f"stay, and the log that is there now is read from offset {held[TP(topic, number)].begin}",
                    soft_wrap=True,
                    highlight=False,
                )
            if position is not known:
                _write(kafka, number, journal, position)
                journal.position = position
        moved = dict(_commits(kafka, journals, held))
        if moved:
            answers = admin.alter_group_offsets(kafka.group, moved)
            failed = [f"{part}: {error.__name__}" for part, error in answers.items() if error.errno]
            if failed:
                raise Unavailable(f"group {kafka.group}: {'; '.join(failed)}: run this once more")

    console.print("start the workers: they read on" if moved else "every topic is the one that was read: nothing to do")
    return 0


def accepted(
    position: JournalPosition, ids: Mapping[str, str | None], held: Mapping[str, Extent], fence: int = 0
) -> JournalPosition:
    """The position with every log that was recreated, or lost its end, accepted from its beginning.

    `fence`: the position that is published. It may be ahead of the journal: what was not durable is lost with its log.
    """
    logs, offsets = dict(position.logs), dict(position.next_offsets)
    ahead = max(fence - sum(offsets.values()), 0)
    for topic, extent in held.items():
        log, counted = logs.get(topic, SourceLog()), offsets.get(topic, 0)
        is_another = None not in (log.topic_id, ids.get(topic)) and log.topic_id != ids[topic]
        if is_another or extent.end < counted - log.base:
            logs[topic] = SourceLog(ids.get(topic), counted + ahead, wall_us())
            offsets[topic] = counted + ahead + extent.begin
            ahead = 0
    return position if logs == position.logs else replace(position, logs=logs, next_offsets=offsets)


def changed_topics(before: JournalPosition, after: JournalPosition) -> list[str]:
    """The topics whose logs differ."""
    return [topic for topic, log in after.logs.items() if log != before.logs.get(topic)]


def read_journals(kafka: KafkaSettings) -> dict[int, Journal]:
    """The journal of each partition, without its events; raises Unavailable, UsageError."""
    journals: dict[int, Journal] = {}
    for record in read_topics(kafka, (kafka.journal_topic,)):
        journal = journals.setdefault(record.partition, Journal(secrets.randbits(64)))
        # Workers pass over what none of them has written.
        with suppress(ForeignRecord):
            journal.restore(record.key or b"", record.value, lambda _: "")
    return journals


def read_logs(kafka: KafkaSettings) -> dict[int, dict[str, SourceLog]]:
    """Which logs each partition's state was made from, by the end of its journal; raises Unavailable, UsageError."""
    found: dict[int, dict[str, SourceLog]] = {}
    with consumer(kafka) as client:
        reader = TopicReader(client, kafka, (kafka.journal_topic,))
        parts = client.assignment()
        begins = client.beginning_offsets(parts)
        for part, end in client.end_offsets(parts).items():
            client.seek(part, max(begins[part], end - TAIL_RECORDS))
        for record in reader.read(bar=False):
            with suppress(ForeignRecord):
                if record.value is not None:
                    found[record.partition] = decode_segment(record.value).logs
    return found


def _topic_ids(kafka: KafkaSettings) -> dict[str, str | None]:
    try:
        return asyncio.run(topic_ids(kafka, kafka.events_topics))
    except (KafkaError, OSError) as error:
        raise unreachable(kafka, error) from error


def _write(kafka: KafkaSettings, number: int, journal: Journal, position: JournalPosition) -> None:
    with producer(kafka) as client:
        sent = [
            client.send(kafka.journal_topic, key=key, value=value, partition=number)
            for key, value in journal.cut(position)
        ]
        client.flush()
        for future in sent:
            future.get()


def _commits(
    kafka: KafkaSettings, journals: Mapping[int, Journal], held: Mapping[TP, Extent]
) -> Iterator[tuple[TopicPartition, OffsetAndMetadata]]:
    """The group's offsets that lie beyond what the journal says is applied."""
    with consumer(kafka, group_id=kafka.group) as client:
        for tp in held:
            journal = journals.get(tp.partition)
            position = JournalPosition({}, 0, {}) if journal is None else journal.position
            applied = position.next_offsets.get(tp.topic, 0) - position.logs.get(tp.topic, SourceLog()).base
            part = TopicPartition(tp.topic, tp.partition)
            if (client.committed(part) or 0) > applied:
                yield part, OffsetAndMetadata(applied, "", -1)
