"""The consumer of a receiver distinguishes another or a cut log from a rebalance and from a leader that lags."""

# ruff: noqa: ARG002 -- stand-ins take what the real ones take

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from config.settings import KafkaSettings
from processors.notifier.alert_consumer import AlertConsumer

KAFKA = KafkaSettings()
ALERTS = TopicPartition(KAFKA.alerts_topic, 0)


class Consuming:
    """Stands for aiokafka's consumer of one partition: what comes next, and where the partition ends."""

    def __init__(self, *batches: Iterable[int], highwater: int, end: int) -> None:
        """`highwater` came with the last fetch, `end` is what the leader names."""
        self._batches = [list(batch) for batch in batches]
        self._highwater, self._end = highwater, end

    def assignment(self) -> set[TopicPartition]:
        return {ALERTS}

    def resume(self, *tps: TopicPartition) -> None:
        """Nothing is ever paused."""

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        return {ALERTS: [SimpleNamespace(partition=0, offset=offset) for offset in self._batches.pop(0)]}

    def highwater(self, _tp: TopicPartition) -> int:
        return self._highwater

    async def position(self, _tp: TopicPartition) -> int:
        return self._highwater

    def last_stable_offset(self, _tp: TopicPartition) -> int:
        return self._highwater

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, self._end)


class ConsumerOfOneLog(AlertConsumer):
    """A consumer of a topic whose id never changes."""

    async def _current_topic_id(self) -> str | None:
        return None


async def nothing() -> None:
    """Called before partitions are revoked."""


async def consumer_of(consuming: Consuming) -> AlertConsumer:
    consumer = ConsumerOfOneLog(KAFKA, "g", nothing)
    await consumer._consumer.stop()
    consumer._consumer = consuming
    return consumer


def test_offsets_that_a_rebalance_put_back_are_no_other_log() -> None:
    async def scene() -> tuple[list[int], bool, set[int]]:
        consumer = await consumer_of(Consuming(range(10), range(6, 12), highwater=12, end=12))
        assert len(await consumer.poll(100)) == 10
        return await consumer.poll(100), consumer.reassigned, consumer._reset

    assert asyncio.run(scene()) == ([], True, set())


def test_offsets_that_start_again_in_a_log_that_was_cut_are_another_log() -> None:
    async def scene() -> tuple[list[int], bool, set[int]]:
        consumer = await consumer_of(Consuming(range(10), range(3), highwater=3, end=3))
        assert len(await consumer.poll(100)) == 10
        return await consumer.poll(100), consumer.reassigned, consumer._reset

    assert asyncio.run(scene()) == ([], True, {0})


def test_a_new_leader_that_lags_has_lost_nothing() -> None:
    async def scene(end: int) -> tuple[bool, set[int]]:
        consumer = await consumer_of(Consuming(highwater=8, end=end))
        consumer._resume_offsets = {0: 10}
        return await consumer.is_caught_up(), consumer._reset

    assert asyncio.run(scene(10)) == (True, set())
    assert asyncio.run(scene(9)) == (False, {0})
