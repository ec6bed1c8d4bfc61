"""For commands that change topics: require that no worker runs, and find where partitions begin and end."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer
from faust.types import TP
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from config.settings import KafkaSettings
from processors.kafka.connection import async_options, reported
from processors.kafka.partition_ends import true_ends
from processors.kafka.topic_reader import consumer
from schemas.errors import UsageError

NO_MEMBERS = frozenset({"Empty", "Dead", "Unknown"})


class Extent(NamedTuple):
    """The offsets that a partition holds now."""

    begin: int
    """The first offset that is still there."""
    end: int
    """The offset after the last record that can be read."""


def require_no_workers(admin: KafkaAdminClient, kafka: KafkaSettings) -> None:
    """Raise UsageError while the group has members. The embedded broker lists no groups: there it never raises."""
    for group in admin.list_groups():
        if group["group_id"] == kafka.group and group.get("group_state") not in NO_MEMBERS:
            raise UsageError(
                f"group {kafka.group} is {group.get('group_state')}: stop all workers, wait "
                f"{kafka.session_timeout_seconds:.0f} s after one was killed, and run this once more"
            )


def extents(kafka: KafkaSettings, topics: Iterable[str]) -> dict[TP, Extent]:
    """The offsets of every partition of some topics; raises Unavailable, UsageError."""
    with consumer(kafka) as client:
        parts = [TopicPartition(topic, number) for topic in topics for number in _numbers(client, topic)]
        begins, ends = client.beginning_offsets(parts), client.end_offsets(parts)
    with reported(kafka):
        listed = {TP(part.topic, part.partition): end for part, end in ends.items()}
        true = asyncio.run(_true_ends(kafka, listed))
    return {TP(part.topic, part.partition): Extent(begins[part], true[TP(*part)]) for part in parts}


def _numbers(client: KafkaConsumer, topic: str) -> list[int]:
    numbers = client.partitions_for_topic(topic)
    if not numbers:
        raise UsageError(f"topic {topic!r} does not exist: create it with `salespulse topics`")
    return sorted(numbers)


async def _true_ends(kafka: KafkaSettings, listed: dict[TP, int]) -> dict[TP, int]:
    def new_reader() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(**async_options(kafka), auto_offset_reset="earliest", isolation_level="read_committed")

    return await true_ends(new_reader, listed)
