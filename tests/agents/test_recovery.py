"""Recovery against rebalances that come in its middle, driven step by step through Faust's own loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from faust.assignor.client_assignment import ClientAssignment
from faust.types import TP

from processors.agents.journal_format import encode_key
from processors.agents.recovery import AssignedRecovery, ChangelogQueue
from tests.agents.test_tables import JOURNAL, Bench, segment
from tests.agents.workbench import TOPIC
from tests.story import activity

CHANGELOG, OTHER = TP(JOURNAL, 0), TP(JOURNAL, 1)
WAIT_SECONDS = 10.0


class Consumer:
    """Stands for the consumer: every changelog holds ten records, and it refuses what aiokafka refuses."""

    def __init__(self) -> None:
        self.seeks = 0
        self.silent = False
        self.flow_active = True

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        if self.silent:
            await asyncio.Event().wait()
        return dict.fromkeys(tps, 10)

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]:
        return dict.fromkeys(tps, 0)

    async def seek_wait(self, offsets: Mapping[TP, int | None]) -> None:
        if any(offset is None for offset in offsets.values()):
            raise ValueError("Offset must be a positive integer")

    async def perform_seek(self) -> None:
        self.seeks += 1

    def assignment(self) -> set[TP]:
        return set()

    def resume_partitions(self, tps: object) -> None: ...

    def pause_partitions(self, tps: object) -> None: ...

    def resume_flow(self) -> None: ...


class Stage:
    """An app whose recovery runs, with a consumer of ours."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.consumer = Consumer()
        app: Any = self.bench.app
        app._consumer = self.consumer
        app._fetcher = SimpleNamespace(maybe_start=lambda: asyncio.sleep(0))
        self.app = app
        self.recovery: AssignedRecovery = app.tables.recovery

    async def assign(self, generation: int, *actives: TP, standbys: frozenset[TP] = frozenset()) -> None:
        self.app.consumer_generation_id = generation
        self.app.assignor._assignment = ClientAssignment(actives=by_topic(actives), standbys=by_topic(standbys))
        assigned = {*actives, *standbys, *(TP(TOPIC, tp.partition) for tp in actives)}
        await self.bench.journal.on_rebalance(assigned, set(), assigned, generation)
        await self.recovery.on_rebalance(assigned, set(), assigned, generation)

    def read_to_the_end(self, generation: int, tp: TP) -> None:
        """What Faust's reader of changelogs does with the last record."""
        value = segment(activity(1, event_id="one"), next_offset=9)
        message = SimpleNamespace(partition=tp.partition, offset=9, timestamp=0.0, generation_id=generation)
        record = SimpleNamespace(key=encode_key(0, 5), value=value, message=message)
        self.bench.journal.apply_changelog_batch([record])
        self.recovery.active_offsets[tp] = 9
        self.recovery._set_recovery_ended()
        self.recovery.signal_recovery_end.set()

    async def reads(self) -> None:
        """Wait until it reads changelogs."""
        await until(lambda: self.recovery.in_recovery and not self.recovery.signal_recovery_start.is_set())
        await until(lambda: bool(self.recovery.active_highwaters) and self.recovery.need_recovery())
        for _ in range(20):
            await asyncio.sleep(0)

    def opened(self) -> list[int]:
        return [partition.number for partition in self.bench.app.partitions.recovered()]


def by_topic(tps: Iterable[TP]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for tp in tps:
        found.setdefault(tp.topic, []).append(tp.partition)
    return found


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running() -> AsyncIterator[Stage]:
    stage = Stage()
    loop: Any = type(stage.recovery)._restart_recovery
    task = asyncio.create_task(loop.fun(stage.recovery))
    try:
        yield stage
        assert not task.done(), task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def test_a_recovery_that_is_overtaken_while_it_reads_opens_nothing() -> None:
    async def play() -> None:
        async with running() as stage:
            await stage.assign(1, CHANGELOG)
            await stage.reads()
            await stage.assign(2, CHANGELOG, OTHER)
            await stage.reads()
            assert stage.opened() == []
            assert stage.bench.value("salespulse_recovery_seconds_count") == 0
            stage.recovery.active_offsets[OTHER] = 9
            stage.read_to_the_end(2, CHANGELOG)
            await until(lambda: stage.opened() == [0, 1])
            (partition, _) = stage.bench.app.partitions
            assert partition.next_offsets == {TOPIC: 9}
            await until(lambda: stage.bench.value("salespulse_recovery_seconds_count") == 1)

    asyncio.run(play())


def test_a_callback_that_outlives_its_recovery_opens_nothing() -> None:
    async def play() -> None:
        stage = Stage()
        await stage.assign(1, CHANGELOG)
        stage.bench.app.partitions.set_changelogs_read(1)
        late = asyncio.ensure_future(stage.bench.journal.on_recovery_completed(set(), set()))
        await stage.assign(2, CHANGELOG)
        await late
        assert stage.opened() == []

    asyncio.run(play())


def test_standbys_of_the_next_assignment_do_not_end_the_recovery_of_the_last() -> None:
    async def play() -> None:
        async with running() as stage:
            standby = TP("crm.reps", 0)
            await stage.assign(1, OTHER)
            await stage.reads()
            await stage.assign(2, OTHER, standbys=frozenset({standby}))
            await stage.reads()
            assert stage.opened() == []
            stage.read_to_the_end(2, OTHER)
            await until(lambda: stage.opened() == [1])

    asyncio.run(play())


def test_a_broker_that_is_silent_makes_a_recovery_begin_again(caplog: pytest.LogCaptureFixture) -> None:
    async def play() -> None:
        async with running() as stage:
            stage.app.conf.broker_request_timeout = 0.05
            stage.consumer.silent = True
            await stage.assign(1, CHANGELOG)
            await until(lambda: "begins again: no answer within 0.05 s" in caplog.text)
            assert stage.opened() == []
            stage.consumer.silent = False
            await stage.reads()
            stage.read_to_the_end(1, CHANGELOG)
            await until(lambda: stage.opened() == [0])

    asyncio.run(play())


def test_records_of_a_former_assignment_leave_the_queue_and_others_stay() -> None:
    async def play() -> None:
        stage = Stage()
        queue = ChangelogQueue(stage.app, maxsize=10)
        stage.app.flow_control.resume()
        stage.app.consumer_generation_id = 2
        for generation in (1, 2, 2):
            await queue.put(SimpleNamespace(message=SimpleNamespace(generation_id=generation)))
        stage.app.flow_control.resume()
        assert queue.qsize() == 2
        stage.app.consumer_generation_id = 3
        await queue.put(SimpleNamespace(message=SimpleNamespace(generation_id=3)))
        event = await asyncio.wait_for(queue.get(), WAIT_SECONDS)
        assert event.message.generation_id == 3

    asyncio.run(play())


def test_a_buffer_of_a_former_assignment_restores_nothing() -> None:
    async def play() -> None:
        stage = Stage()
        await stage.assign(2, CHANGELOG)
        stage.read_to_the_end(1, CHANGELOG)
        (partition,) = stage.bench.app.partitions
        assert not partition.ledger.facts

    asyncio.run(play())
