"""Two owners of one partition over one Redis: whatever the order of their steps, the newest one wins for good.

Both are real publishers. The former owner never notices that it lost the partition: its lease holds for ever. Only the
coordinator's answer between an announcement and the claim is true.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from config.settings import RedisSettings
from processors.agents import publishing
from processors.agents.lease import Lease
from processors.agents.ownership import Ownership
from processors.agents.publishing import Publisher
from processors.read_model.redis_connection import RedisConnection, connect
from processors.read_model.writer import ReadModelWriter
from tests.agents.workbench import CLOCK_US, DIRECTORY, TOPIC, IntakeHarness
from tests.story import activity

PREFIX = "two"
FENCE = f"{PREFIX}:{TOPIC}/0:fence"
FORMER, NEWEST = "former", "newest"
EPOCHS = {FORMER: 5, NEWEST: 9}
DEADLINE_SECONDS = 20.0
FAIR_STEPS = 60
"""Within so many steps of its own, an owner publishes everything."""


class Coordinator:
    """Knows the owner."""

    owner = FORMER


class Unaware(Lease):
    """A lease that holds for ever; what the coordinator confirms is true when it is asked."""

    def __init__(self, name: str, coordinator: Coordinator) -> None:
        super().__init__(6.0)
        self._name = name
        self._coordinator = coordinator

    @property
    def holds(self) -> bool:
        return True

    def confirmed_after(self, instant: float) -> bool:
        del instant
        return self._coordinator.owner == self._name


class Gated:
    """A connection each of whose calls waits until it is let through."""

    def __init__(self, connection: RedisConnection) -> None:
        self.calls = 0
        self.waits = asyncio.Event()
        """Its owner waits for the next step, or is done."""
        self._connection = connection
        self._tickets: asyncio.Queue[asyncio.Event] = asyncio.Queue()

    async def step(self) -> None:
        """Let one call through, and wait until the owner wants the next."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self.waits.wait()
            self.waits.clear()
            await self._tickets.put(done := asyncio.Event())
            await done.wait()
            await self.waits.wait()

    async def idle(self) -> None:
        """Use up a step for a beat that called nothing."""
        (await self._ticket()).set()

    async def _ticket(self) -> asyncio.Event:
        self.waits.set()
        return await self._tickets.get()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._connection, name)

        async def gated(*arguments: Any) -> Any:
            done = await self._ticket()
            self.calls += 1
            try:
                return await call(*arguments)
            finally:
                done.set()

        return gated


class Owner:
    """A worker that owns the partition, or thinks so. With each step, it has read another event."""

    def __init__(self, name: str, url: str, coordinator: Coordinator, position: int) -> None:
        self.connection = connect(RedisSettings(url=url))
        self.gate = Gated(self.connection)
        gated: Any = self.gate
        self.harness = IntakeHarness()
        self.harness.partition.epoch = EPOCHS[name]
        self.harness.partition.caught_up = name == FORMER
        for number in range(position):
            self._read(number)
        ownership = Ownership(Unaware(name, coordinator), self.harness.logs)
        model = ReadModelWriter(gated, PREFIX, name)
        self._publisher = Publisher(self.harness.partitions, DIRECTORY, model, self.harness.metrics, ownership)

    def _read(self, number: int) -> None:
        partition = self.harness.partition
        partition.ledger.set_clock(CLOCK_US)
        partition.ledger.apply(activity(number, f"rep{number % 3}"))
        partition.next_offsets[TOPIC] = number + 1

    async def run(self) -> None:
        """Publish again and again."""
        while self.harness.partition.epoch is not None:
            calls = self.gate.calls
            await self._publisher.publish()
            if calls == self.gate.calls:
                await self.gate.idle()
            self._read(self.harness.partition.position)
        self.gate.waits.set()


@asynccontextmanager
async def running(owner: Owner) -> AsyncIterator[Owner]:
    task = asyncio.create_task(owner.run())
    try:
        yield owner
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await owner.connection.close()


class Live:
    """What Redis holds, and what of it may not happen."""

    def __init__(self, server: redis.Redis) -> None:
        self._server = server
        self.taken_over = False

    def state(self) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        """The fence as far as it is about what is published, and the numbers."""
        fence: Any = self._server.hgetall(FENCE)
        about = {name: fence[name] for name in (b"offset", b"clock", b"count") if name in fence}
        self.taken_over = self.taken_over or fence.get(b"epoch") == b"%d" % EPOCHS[NEWEST]
        numbers: Any = self._server.hgetall(f"{PREFIX}:{TOPIC}/0:partials")
        return about, numbers


async def interleave(url: str, server: redis.Redis, steps: Sequence[str], positions: tuple[int, int]) -> None:
    coordinator, live = Coordinator(), Live(server)
    former = Owner(FORMER, url, coordinator, positions[0])
    newest = Owner(NEWEST, url, coordinator, positions[1])
    async with running(former), running(newest):
        owners = {FORMER: former, NEWEST: newest}
        for step in steps:
            before = live.state()
            had_taken_over = live.taken_over
            if step == "empty":
                server.flushdb()
            elif step == "transfer":
                coordinator.owner = NEWEST
            elif step == FORMER or coordinator.owner == NEWEST:
                if owners[step].harness.partition.epoch is not None:
                    await owners[step].gate.step()
                after = live.state()
                assert step == NEWEST or not had_taken_over or after == before
                assert int(after[0].get(b"offset", b"0")) >= int(before[0].get(b"offset", b"0"))
        coordinator.owner = NEWEST
        for _ in range(FAIR_STEPS + positions[0]):
            await newest.gate.step()
            if live.state()[0].get(b"clock") == NEWEST.encode():
                break
        assert live.state()[0][b"clock"] == NEWEST.encode()


@given(
    st.lists(st.tuples(st.sampled_from([FORMER, NEWEST, "transfer", "empty"]), st.integers(1, 8)), max_size=14),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
)
@settings(max_examples=60)
def test_the_live_state_is_the_newest_owners_once_it_took_over_and_never_older(
    redis_server: str, moves: list[tuple[str, int]], positions: tuple[int, int]
) -> None:
    with pytest.MonkeyPatch.context() as patch, redis.Redis.from_url(redis_server) as server:
        for pause in ("RETRY_SECONDS", "HEARTBEAT_SECONDS", "HISTORY_INTERVAL_SECONDS"):
            patch.setattr(publishing, pause, 0.0)
        server.flushdb()
        steps = [step for step, times in moves for _ in range(times)]
        asyncio.run(interleave(redis_server, server, steps, positions))


def test_a_claim_that_was_confirmed_before_redis_was_emptied_is_void(redis_server: str) -> None:
    """The order of steps that only an announcement withstands."""
    steps = [FORMER, "transfer", *[NEWEST] * 8, "empty", *[FORMER] * 8]
    with pytest.MonkeyPatch.context() as patch, redis.Redis.from_url(redis_server) as server:
        for pause in ("RETRY_SECONDS", "HEARTBEAT_SECONDS", "HISTORY_INTERVAL_SECONDS"):
            patch.setattr(publishing, pause, 0.0)
        server.flushdb()
        asyncio.run(interleave(redis_server, server, steps, (3, 3)))
