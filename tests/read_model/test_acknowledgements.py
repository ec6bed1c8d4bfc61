"""Acknowledgements and snoozes in a real Redis, each recorded before it takes effect."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import msgspec
import pytest
import redis

from config.settings import RedisSettings
from processors.read_model.acknowledgements import (
    HoldEvent,
    HoldStore,
    TurnHold,
    TurnKey,
    field_of,
    in_force,
    key_of,
    obsolete,
)
from processors.read_model.redis_connection import connect
from schemas.errors import Unavailable, UsageError

DAY_US = 86_400_000_000


class Record:
    """A topic that remembers, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.events: list[tuple[bytes, HoldEvent]] = []
        self.fails = fails

    async def record(self, key: bytes, value: bytes) -> None:
        """Keep an event."""
        if self.fails:
            raise Unavailable("no broker")
        self.events.append((key, msgspec.json.decode(value, type=HoldEvent)))


def with_acks(url: str, record: Record, steps: Callable[[HoldStore], Awaitable[None]], now_us: int = 1000) -> None:
    """Run steps against Redis."""

    async def run() -> None:
        connection = connect(RedisSettings(url=url, prefix="p"))
        try:
            await steps(HoldStore(connection, "p", record, lambda: now_us))
        finally:
            await connection.close()

    asyncio.run(run())


def test_an_acknowledgement_is_kept_until_it_is_released(redis_url: str) -> None:
    async def steps(acks: HoldStore) -> None:
        hold = await acks.acknowledge("c1", "r1", 2, "alice")
        assert hold == TurnHold(by="alice", at_us=1000)
        assert await acks.all() == {TurnKey("c1", "r1", 2): hold}
        assert await acks.release("c1", "r1", 2, "bob")
        assert not await acks.release("c1", "r1", 2, "bob")
        assert await acks.all() == {}

    record = Record()
    with_acks(redis_url, record, steps)
    assert [(key, event.action, event.by) for key, event in record.events] == [
        (b"c1|r1|2", "acknowledged", "alice"),
        (b"c1|r1|2", "released", "bob"),
    ]


def test_a_snooze_lasts_until_its_instant(redis_url: str) -> None:
    async def steps(acks: HoldStore) -> None:
        hold = await acks.snooze("c1", "r1", 1, "alice", 5000)
        assert hold.is_in_force(4999)
        assert not hold.is_in_force(5000)
        assert in_force(await acks.all(), 5000) == {}

    record = Record()
    with_acks(redis_url, record, steps)
    assert record.events[0][1].until_us == 5000


def test_a_snooze_into_the_past_and_a_name_that_is_none_are_refused(redis_url: str) -> None:
    async def steps(acks: HoldStore) -> None:
        with pytest.raises(UsageError, match="has passed"):
            await acks.snooze("c1", "r1", 1, "alice", 1000)
        with pytest.raises(UsageError, match="1 to 128 characters"):
            await acks.acknowledge("c1", "r1", 1, "")
        with pytest.raises(UsageError, match="1 to 128 characters"):
            await acks.release("c1", "r1", 1, "x" * 129)
        assert await acks.all() == {}

    record = Record()
    with_acks(redis_url, record, steps)
    assert record.events == []


def test_what_cannot_be_recorded_does_not_take_effect(redis_url: str) -> None:
    async def steps(acks: HoldStore) -> None:
        with pytest.raises(Unavailable):
            await acks.acknowledge("c1", "r1", 1, "alice")
        assert await acks.all() == {}

    with_acks(redis_url, Record(fails=True), steps)


def test_what_cannot_take_effect_is_not_recorded() -> None:
    async def steps(acks: HoldStore) -> None:
        with pytest.raises(Unavailable):
            await acks.acknowledge("c1", "r1", 1, "alice")
        with pytest.raises(Unavailable):
            await acks.release("c1", "r1", 1, "alice")

    record = Record()
    with_acks("redis://127.0.0.1:1/0", record, steps)
    assert record.events == []


def test_a_foreign_field_is_named_once_and_costs_no_hold(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def steps(acks: HoldStore) -> None:
        await acks.acknowledge("c1", "r1", 1, "alice")
        for _ in range(2):
            assert list(await acks.all()) == [TurnKey("c1", "r1", 1)]

    with redis.Redis.from_url(redis_url) as server:
        server.hset("p:acks", mapping={b"x": "{}", b"\xff|r|1": "{}", "c|r|one": "{}", "c1|r2|1": "["})
    with_acks(redis_url, Record(), steps)
    assert re.search(r"p:acks in Redis has a field b'x' that is no hold .* HDEL p:acks", caplog.text)
    assert len(caplog.records) == 4


def test_many_are_dropped_at_once(redis_url: str) -> None:
    async def steps(acks: HoldStore) -> None:
        for number in range(1200):
            await acks.acknowledge("c1", f"r{number}", 1, "alice")
        await acks.drop([TurnKey("c1", f"r{number}", 1) for number in range(1199)])
        assert list(await acks.all()) == [TurnKey("c1", "r1199", 1)]

    with_acks(redis_url, Record(), steps)


@pytest.mark.parametrize(
    "key", [TurnKey("c", "r", 1), TurnKey("a|b", "c%7Cd", 12), TurnKey("a%", "|%25", 3), TurnKey("ü /\n", "日本", 1)]
)
def test_every_turn_has_a_field_of_its_own(key: TurnKey) -> None:
    assert key_of(field_of(key)) == key
    assert field_of(TurnKey("a|b", "c", 1)) != field_of(TurnKey("a", "b|c", 1))


def test_what_nobody_needs_any_more_is_named() -> None:
    holds = {
        TurnKey("c", "ended", 1): TurnHold(by="a", at_us=0, until_us=10),
        TurnKey("c", "just-ended", 1): TurnHold(by="a", at_us=0, until_us=2 * DAY_US),
        TurnKey("c", "lasts", 1): TurnHold(by="a", at_us=0),
    }
    assert obsolete(holds, 2 * DAY_US, 400 * DAY_US) == [TurnKey("c", "ended", 1)]
    assert len(obsolete(holds, 401 * DAY_US, 400 * DAY_US)) == 3
