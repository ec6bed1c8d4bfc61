"""A read model that the version before wrote into Redis is followed, taken over and honoured as before."""

import asyncio
import json
from pathlib import Path
from typing import Any

import redis

from config.settings import RedisSettings
from processors.read_model.acknowledgements import HoldStore, TurnHold, TurnKey
from processors.read_model.follower import Follower
from processors.read_model.publication import PublicationOutcome
from processors.read_model.redis_connection import connect
from tests.read_model.followed_view import PREFIX, FollowedView, connection, partials, writing
from tests.read_model.test_acknowledgements import Record

FIXTURE: dict[str, Any] = json.loads((Path(__file__).parent / "data/read_model_0_1.json").read_text(encoding="utf-8"))
ONE, TWO = "crm.events/0", "crm.events/1"
NOW_US = 1767571200000000


def restore(url: str) -> None:
    """Write what the version before left in its Redis."""
    with redis.Redis.from_url(url) as server:
        for key, fields in FIXTURE["hashes"].items():
            server.hset(key, mapping={name: bytes.fromhex(value) for name, value in fields.items()})
        for key, members in FIXTURE["sets"].items():
            server.sadd(key, *members)
        for key, value in FIXTURE["strings"].items():
            server.set(key, bytes.fromhex(value))
        for key, entries in FIXTURE["streams"].items():
            for entry_id, fields in entries:
                values: dict[Any, Any] = {name: bytes.fromhex(value) for name, value in fields.items()}
                server.xadd(key, values, id=entry_id)


def fields_of(key: str) -> dict[str, bytes]:
    return {name: bytes.fromhex(value) for name, value in FIXTURE["hashes"].get(key, {}).items()}


def test_every_field_of_the_version_before_is_followed(redis_url: str) -> None:
    restore(redis_url)
    view = FollowedView()

    async def scene() -> None:
        reader = connection(redis_url)
        await Follower(reader, PREFIX, view, lambda: NOW_US).read_once()
        await reader.close()

    asyncio.run(scene())
    assert view.offsets == {ONE: (12, NOW_US + 9), TWO: (10, NOW_US + 1)}
    assert view.reps == fields_of(f"{PREFIX}:reps")
    assert {partition for partition, _ in view.state} == {ONE, TWO}
    for (partition, section), fields in view.state.items():
        assert fields == fields_of(f"{PREFIX}:{partition}:{section}")


def test_a_newer_owner_takes_over_what_the_version_before_published(redis_url: str) -> None:
    restore(redis_url)

    async def scene() -> None:
        async with writing(redis_url) as model:
            assert await model.fence(ONE) == (12, "logA,logB")
            assert await model.announce(ONE, 6, "logA,logB") is PublicationOutcome.FORMER
            assert await model.announce(ONE, 8, "logA,logB") is PublicationOutcome.ACCEPTED
            assert await model.claim(ONE) is PublicationOutcome.ACCEPTED
            assert await model.publish(ONE, 11, partials(a="1"), whole=True) is PublicationOutcome.STALE
            assert await model.publish(ONE, 12, partials(a="1"), whole=True) is PublicationOutcome.ACCEPTED

    asyncio.run(scene())


def test_holds_of_the_version_before_are_in_force(redis_url: str) -> None:
    restore(redis_url)

    async def scene() -> None:
        redis_connection = connect(RedisSettings(url=redis_url))
        holds = await HoldStore(redis_connection, PREFIX, Record(), lambda: NOW_US).all()
        await redis_connection.close()
        assert holds == {
            TurnKey("c1", "r|1", 2): TurnHold(by="ann", at_us=NOW_US),
            TurnKey("c%2", "r2", 1): TurnHold(by="bob ö", at_us=NOW_US, until_us=NOW_US + 3_600_000_000),
        }

    asyncio.run(scene())
