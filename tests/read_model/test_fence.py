"""The fence in a real Redis lets in one owner: the newest that was confirmed."""

import asyncio
from collections.abc import Iterator

import pytest
import redis

from processors.read_model.publication import PublicationOutcome
from processors.read_model.writer import ReadModelWriter
from tests.read_model.followed_view import PREFIX, partials, writing

PARTITION = "crm.events/0"
PARTIALS = f"{PREFIX}:{PARTITION}:partials"
FENCE = f"{PREFIX}:{PARTITION}:fence"
LOGS = "one,two"


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


async def own(model: ReadModelWriter, epoch: int, logs: str = LOGS) -> None:
    assert await model.announce(PARTITION, epoch, logs) is PublicationOutcome.ACCEPTED
    assert await model.claim(PARTITION) is PublicationOutcome.ACCEPTED


async def whole(model: ReadModelWriter, offset: int, **fields: str) -> PublicationOutcome:
    return await model.publish(PARTITION, offset, partials(**fields), whole=True)


async def delta(model: ReadModelWriter, offset: int, **fields: str) -> PublicationOutcome:
    return await model.publish(PARTITION, offset, partials(**fields), whole=False)


def test_an_older_owner_is_refused_whatever_its_offset(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as former, writing(redis_url) as newest:
            await own(former, 3)
            assert await whole(former, 10, a="former") is PublicationOutcome.ACCEPTED
            await own(newest, 4)
            assert await delta(former, 900, a="late") is PublicationOutcome.FORMER
            assert await whole(former, 901, a="late") is PublicationOutcome.FORMER
            assert await former.announce(PARTITION, 3, LOGS) is PublicationOutcome.FORMER
            assert await former.reset(PARTITION) is PublicationOutcome.FORMER
            assert await whole(newest, 10, a="newest") is PublicationOutcome.ACCEPTED

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"newest"}


def test_whoever_retires_a_partition_needs_no_epoch_and_no_late_owner_brings_it_back(
    redis_url: str, server: redis.Redis
) -> None:
    async def scene() -> None:
        async with writing(redis_url) as former, writing(redis_url) as operator:
            await own(former, 3)
            await whole(former, 10, a="former")
            await operator.retire(PARTITION)
            assert await delta(former, 11, a="late") is PublicationOutcome.EMPTY
            assert await whole(former, 11, a="late") is PublicationOutcome.EMPTY

    asyncio.run(scene())
    assert not server.exists(PARTIALS, FENCE)
    assert not server.smembers(f"{PREFIX}:partitions")


def test_a_newer_owner_waits_until_it_has_read_as_far_as_is_published(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as former, writing(redis_url) as newest:
            await own(former, 3)
            await whole(former, 10, a="former")
            await own(newest, 4)
            assert await whole(newest, 9, a="newest") is PublicationOutcome.STALE
            assert server.hgetall(PARTIALS) == {b"a": b"former"}
            assert await whole(newest, 10, a="newest") is PublicationOutcome.ACCEPTED

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"newest"}


def test_into_an_emptied_redis_only_a_claim_made_after_it_leads(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as former, writing(redis_url) as newest:
            await own(former, 3)
            await whole(former, 11_819, a="former")
            await own(newest, 4)
            await whole(newest, 13_020, a="newest")
            server.flushdb()
            assert await delta(former, 11_819, a="late") is PublicationOutcome.EMPTY
            assert await whole(former, 11_819, a="late") is PublicationOutcome.EMPTY
            assert await former.claim(PARTITION) is PublicationOutcome.EMPTY
            assert await delta(newest, 13_021, b="1") is PublicationOutcome.EMPTY
            await own(newest, 4)
            assert await whole(newest, 13_021, a="newest") is PublicationOutcome.ACCEPTED

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"newest"}


def test_an_announcement_does_not_outlive_the_redis_it_was_made_in(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as former:
            assert await former.announce(PARTITION, 3, LOGS) is PublicationOutcome.ACCEPTED
            server.flushdb()
            assert await former.claim(PARTITION) is PublicationOutcome.EMPTY

    asyncio.run(scene())
    assert server.dbsize() == 0


def test_a_claim_in_the_middle_of_a_whole_ends_it(redis_url: str, server: redis.Redis) -> None:
    many = {f"f{i}": "slow" for i in range(30_000)}

    async def scene() -> None:
        async with writing(redis_url) as former, writing(redis_url) as newest:
            await own(former, 3)
            task = asyncio.create_task(whole(former, 5, **many))
            while not await asyncio.to_thread(server.hget, FENCE, "loader"):
                assert not task.done()
            await own(newest, 4)
            assert await task is PublicationOutcome.FORMER

    asyncio.run(scene())
    assert not server.exists(PARTIALS)


def test_what_a_version_without_epochs_published_is_taken_over(redis_url: str, server: redis.Redis) -> None:
    server.hset(PARTIALS, "a", "before")
    server.hset(FENCE, mapping={"offset": 7, "stream_us": 1, "writer": "w", "count": 4, "clock": ""})

    async def scene() -> None:
        async with writing(redis_url) as model:
            assert await model.fence(PARTITION) == (7, "")
            await own(model, 1)
            assert server.hgetall(PARTIALS) == {b"a": b"before"}
            assert await whole(model, 6, a="behind") is PublicationOutcome.STALE
            assert await whole(model, 7, a="now") is PublicationOutcome.ACCEPTED
            assert await model.fence(PARTITION) == (7, LOGS)

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"now"}


def test_epochs_start_again_in_logs_that_were_created_again(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as former, writing(redis_url) as newest:
            await own(former, 3000)
            await whole(former, 900, a="gone")
            await own(newest, 1, logs="three,four")
            assert await delta(former, 901, a="late") is PublicationOutcome.EMPTY
            assert await newest.reset(PARTITION) is PublicationOutcome.ACCEPTED
            assert await whole(newest, 2, a="new") is PublicationOutcome.ACCEPTED

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"new"}
    assert server.hget(FENCE, "epoch") == b"1"
