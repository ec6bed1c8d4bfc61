"""`salespulse topics --grow N`: copy all events to topics of N partitions, each customer's into one of them.

Kafka can add partitions to a topic, and then sends a customer's next events elsewhere than their history. So the events
go to new topics, keyed by customer whatever their key was, with a consumer group and a journal of their own. Facts that
the old topics no longer hold come from the old group's journal. Everything old stays as it is: going back means to use
the old settings again.
"""

import asyncio
import re
from typing import NamedTuple

from kafka import KafkaProducer
from msgspec.structs import replace
from rich.console import Console

from config.clock import in_force, wall_us
from config.settings import KafkaSettings, Settings
from config.toml_writer import toml_value
from processors.commands.journal_facts import read_journal_facts
from processors.commands.topic_extents import require_no_workers
from processors.core.time.instants import FOREVER_US
from processors.kafka.admin import admin_client
from processors.kafka.producer import producer
from processors.kafka.topic_reader import TopicReader, TopicRecord, consumer
from processors.kafka.topics import create_missing, wanted_topics
from processors.read_model.keys import ReadModelKeys
from processors.read_model.redis_connection import connect
from processors.read_model.writer import ReadModelWriter
from schemas.codec import decode_kept, encode
from schemas.errors import BadRecord, UsageError
from schemas.events import Event

Headers = tuple[tuple[str, bytes], ...]

GROWN = re.compile(r"-p\d+$")
"""What an earlier growth has appended to a name."""


class Copied(NamedTuple):
    """What came of it."""

    records: int
    """Copied from the old topics."""
    rekeyed: int
    """Those that had another key than their customer, or none."""
    remembered: int
    """Facts that the old topics no longer hold."""


def grow(settings: Settings, partitions: int, console: Console) -> int:
    """Copy, clear the old partitions from the read model, and print what to set; returns the exit code.

    Raises UsageError while workers run, when the new topics exist, or when producers go on; Unavailable.
    """
    old, new = settings.kafka, grown(settings.kafka, partitions)
    with admin_client(old) as admin:
        require_no_workers(admin, old)
        present = sorted({*new.events_topics, new.journal_topic} & set(admin.list_topics()))
        if present:
            raise UsageError(f"{', '.join(present)} exists already: delete it if an earlier attempt has left it behind")
        create_missing(admin, wanted_topics(new, settings.retention))
        copied = _copy(old, new)
        require_no_workers(admin, old)
    asyncio.run(_forget(settings))
    console.print(
        f"{copied.records:,} records copied ({copied.rekeyed:,} to another key), and {copied.remembered:,} facts "
        "that the old topics no longer hold. Set this for all programs and producers, and start them:\n\n[kafka]\n"
        f"events_topics = {toml_value(new.events_topics)}\ngroup = {toml_value(new.group)}\npartitions = {partitions}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    return 0


def grown(kafka: KafkaSettings, partitions: int) -> KafkaSettings:
    """The settings with topics and a group for this many partitions."""
    topics = tuple(_named(topic, partitions) for topic in kafka.events_topics)
    return replace(kafka, events_topics=topics, group=_named(kafka.group, partitions), partitions=partitions)


def _named(name: str, partitions: int) -> str:
    return f"{GROWN.sub('', name)}-p{partitions}"


def _copy(old: KafkaSettings, new: KafkaSettings) -> Copied:
    names = dict(zip(old.events_topics, new.events_topics, strict=True))
    with consumer(old) as client, producer(new, linger_ms=20, batch_size=256 * 1024) as sending:
        remembered = _remembered(old)
        for fact in remembered.values():
            _send(sending, new.events_topics[0], fact.customer_id.encode(), encode(fact), (), wall_us() // 1000)
        reader = TopicReader(client, old, old.events_topics)
        records = rekeyed = 0
        for record in reader.read():
            event = _event(record)
            key = record.key if event is None else event.customer_id.encode()
            headers = tuple((name, text.encode()) for name, text in record.headers.items())
            _send(sending, names[record.topic], key, record.value, headers, record.timestamp_ms)
            records, rekeyed = records + 1, rekeyed + (key != record.key)
        sending.flush()
        late = sum(1 for _ in reader.read(bar=False))
    if late:
        raise UsageError(
            f"{late} records came to {', '.join(old.events_topics)} meanwhile: stop all producers, delete "
            f"{', '.join(new.events_topics)}, and run this once more"
        )
    return Copied(records, rekeyed, len(remembered))


def _remembered(kafka: KafkaSettings) -> dict[str, Event]:
    """Facts of the journal that the topics no longer hold, by event_id."""
    with consumer(kafka) as client:
        numbers = client.partitions_for_topic(kafka.journal_topic) or ()
        facts: dict[str, Event] = {}
        for kept in read_journal_facts(kafka, dict.fromkeys(numbers, FOREVER_US)).values():
            facts |= kept.events
        for record in TopicReader(client, kafka, kafka.events_topics).read(bar=False):
            event = _event(record)
            if event is not None:
                facts.pop(event.event_id, None)
    return facts


def _event(record: TopicRecord) -> Event | None:
    """The event of a record; None: it holds none, and will be a dead letter of the new group."""
    try:
        return None if record.value is None else decode_kept(record.value)
    except BadRecord:
        return None


def _send(
    sending: KafkaProducer, topic: str, key: bytes | None, value: bytes | None, headers: Headers, at_ms: int
) -> None:
    """Send to the partition that Kafka's own clients choose for a key; raises KafkaError when it is too large."""
    sending.send(topic, key=key, value=value, headers=list(headers), timestamp_ms=at_ms)


async def _forget(settings: Settings) -> None:
    """Take what is published of the old partitions out of the read model, fences included; raises Unavailable."""
    connection, prefix = connect(settings.redis), settings.redis.prefix
    model = ReadModelWriter(connection, prefix, in_force(settings.clock))
    try:
        for label in await connection.members(ReadModelKeys(prefix).partitions):
            if label.startswith(f"{settings.kafka.events_topics[0]}/"):
                await model.retire(label)
    finally:
        await model.close()
