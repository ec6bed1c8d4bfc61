"""Where partitions really end: the offset after the last record that can be read.

A broker's answer to ListOffsets may differ. The embedded broker names the offset after the first record of the last
batch, and on Apache Kafka the last offsets may belong to markers or to compacted records. Recovery would stop too
early, or wait for a record that never comes.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from processors.kafka.skipped_batches import SKIPPED

POLL_MS = 200
Partition = TypeVar("Partition", bound=tuple[str, int])
"""A topic and the number of a partition, in whichever type the caller has."""


async def true_ends(
    new_reader: Callable[[], AIOKafkaConsumer], listed: Mapping[Partition, int]
) -> dict[Partition, int]:
    """The true end of each partition. `listed`: the broker's answer to ListOffsets."""
    found = {partition: end or 0 for partition, end in listed.items()}
    filled = {TopicPartition(*partition): end for partition, end in found.items() if end}
    if not filled:
        return found
    for tp in filled:
        SKIPPED.forget(tp.topic, tp.partition)
    reader = new_reader()
    await reader.start()
    try:
        reader.assign(list(filled))
        last = await _read_from(reader, {tp: end - 1 for tp, end in filled.items()})
        unread = {tp: 0 for tp in filled if tp not in last}
        if unread:
            last |= await _read_from(reader, unread)
    finally:
        await stop_reader(reader)
    ends = {tuple(tp): max(last.get(tp, -1), _unreadable_end(tp)) + 1 for tp in filled}
    return {partition: ends.get(tuple(partition), end) for partition, end in found.items()}


def _unreadable_end(tp: TopicPartition) -> int:
    """The last offset of the last unreadable range: Faust receives it as one message."""
    unreadable = SKIPPED.latest(tp.topic, tp.partition)
    return -1 if unreadable is None else unreadable.last


async def _read_from(reader: AIOKafkaConsumer, starts: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Read partitions up to their high watermarks; returns the last offsets that were read."""
    last: dict[TopicPartition, int] = {}
    for tp, start in starts.items():
        reader.seek(tp, start)
    waiting = set(starts)
    while waiting:
        for tp, records in (await reader.getmany(*waiting, timeout_ms=POLL_MS)).items():
            last[tp] = records[-1].offset
        waiting = {tp for tp in waiting if not await is_read(reader, tp)}
    return last


async def is_read(reader: AIOKafkaConsumer, tp: TopicPartition) -> bool:
    """Whether a partition is read up to the end that the broker last reported."""
    highwater = reader.highwater(tp)
    if highwater is None:
        return False
    return bool(await reader.position(tp) >= readable_end(highwater, reader.last_stable_offset(tp)))


def readable_end(highwater: int, stable: int | None) -> int:
    """The offset after the last record that can be read now: records after an open transaction cannot."""
    return highwater if stable is None or stable < 0 else min(stable, highwater)


async def stop_reader(reader: AIOKafkaConsumer) -> None:
    """Stop a reader. Right after a start, aiokafka 0.14's `stop` raises CancelledError, which would cancel us."""
    await asyncio.wait([asyncio.create_task(reader.stop())])
