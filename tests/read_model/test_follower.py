"""A follower holds what was published, whatever happens to Redis meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import HealthCheck, given
from hypothesis import settings as checks
from hypothesis import strategies as st
from redis.asyncio import Redis

from processors.dev.redis_server import EmbeddedRedis
from processors.read_model.follower import SILENT_AFTER_US, Follower
from processors.read_model.publication import PublicationOutcome
from processors.read_model.redis_connection import RedisConnection, StreamEntry
from processors.read_model.writer import ReadModelWriter
from schemas.errors import Unavailable
from schemas.events import RepUpdated
from schemas.views import Section
from tests.read_model.followed_view import (
    PREFIX,
    FollowedView,
    changes,
    connection,
    following,
    partials,
    until,
    writing,
)

ONE, TWO = "crm.events/0", "crm.events/1"


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


class Gated(RedisConnection):
    """A reader that is held up until its gate opens."""

    def __init__(self, url: str) -> None:
        super().__init__(Redis.from_url(url, protocol=2), url)
        self.gate = asyncio.Event()
        self.gate.set()
        self.held = 0

    async def entries_after(self, stream: str, last_id: bytes, count: int, block_ms: int | None) -> list[StreamEntry]:
        if not self.gate.is_set():
            self.held += 1
        await self.gate.wait()
        return await super().entries_after(stream, last_id, count, min(block_ms or 0, 50) or None)


def test_what_was_there_before_is_loaded_and_what_comes_after_is_followed(redis_url: str) -> None:
    async def scene() -> None:
        view = FollowedView()
        async with writing(redis_url) as model, following(connection(redis_url), view) as follower:
            await model.put_rep(RepUpdated(rep_id="ann", name="Ann"), 1)
            await model.publish(ONE, 1, partials(a="1", b="2"), whole=True, stream_us=11)
            await until(lambda: view.holds(ONE) == {"a": b"1", "b": b"2"})
            news = changes({"partials": {"a": b"3"}, "open": {"c|r": b"x"}}, {"partials": ["b"]})
            await model.publish(ONE, 2, news, whole=False, stream_us=22)
            await until(lambda: view.offsets.get(ONE) == (2, 22))
            assert view.holds(ONE) == {"a": b"3"}
            assert view.holds(ONE, "open") == {"c|r": b"x"}
            assert msgspec.msgpack.decode(view.reps["ann"], type=RepUpdated).name == "Ann"
            assert follower.status.loaded
        late = FollowedView()
        async with following(connection(redis_url), late):
            await until(lambda: late.state == view.state and late.reps == view.reps and late.offsets == view.offsets)

    asyncio.run(scene())


def test_a_whole_replaces_the_partition_and_leaves_the_others_alone(redis_url: str) -> None:
    async def scene() -> None:
        view = FollowedView()
        async with writing(redis_url) as model, following(connection(redis_url), view):
            await model.publish(ONE, 1, partials(a="1"), whole=True)
            await model.publish(TWO, 1, partials(z="1"), whole=True)
            await until(lambda: view.holds(ONE) and view.holds(TWO))
            await model.publish(ONE, 2, partials(b="1"), whole=True)
            await until(lambda: view.holds(ONE) == {"b": b"1"})
            assert view.holds(TWO) == {"z": b"1"}
            await model.reset(TWO)
            await until(lambda: TWO not in view.offsets)
            assert view.holds(TWO) == {}

    asyncio.run(scene())


def test_a_rep_that_left_the_directory_leaves_the_view(redis_url: str) -> None:
    async def scene() -> None:
        view = FollowedView()
        async with writing(redis_url) as model, following(connection(redis_url), view):
            await model.put_reps([(RepUpdated(rep_id=rep, name=rep), 1) for rep in ("ann", "bob")])
            await until(lambda: set(view.reps) == {"ann", "bob"})
            await model.remove_rep("ann", 2)
            await until(lambda: set(view.reps) == {"bob"})

    asyncio.run(scene())


def test_a_gap_in_the_stream_makes_it_load_everything_again(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        view, reader = FollowedView(), Gated(redis_url)
        async with writing(redis_url) as model, following(reader, view) as follower:
            await model.publish(ONE, 1, partials(a="1"), whole=True)
            await until(lambda: view.holds(ONE))
            loads = follower.status.loads
            reader.gate.clear()
            await until(lambda: reader.held)
            await model.publish(ONE, 2, changes({"partials": {"b": b"2"}}, {"partials": ["a"]}), whole=False)
            await model.publish(ONE, 3, partials(c="3"), whole=False)
            server.xtrim(f"{PREFIX}:changes", maxlen=1, approximate=False)
            reader.gate.set()
            await until(lambda: follower.status.loads > loads)
            await until(lambda: view.holds(ONE) == {"b": b"2", "c": b"3"})

    asyncio.run(scene())


def test_a_stream_that_vanished_after_news_is_a_gap_too(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        view, reader = FollowedView(), Gated(redis_url)
        async with writing(redis_url) as model:
            await model.publish(ONE, 1, partials(a="1"), whole=True)
            await vanish(model, reader, view)

    async def vanish(model: ReadModelWriter, reader: Gated, view: FollowedView) -> None:
        async with following(reader, view) as follower:
            await until(lambda: view.holds(ONE))
            reader.gate.clear()
            await until(lambda: reader.held)
            await model.publish(ONE, 2, partials(b="2"), whole=False)
            server.delete(f"{PREFIX}:changes")
            reader.gate.set()
            await until(lambda: view.holds(ONE) == {"a": b"1", "b": b"2"})
            await model.publish(ONE, 3, partials(a="3"), whole=False)
            await until(lambda: view.holds(ONE) == {"a": b"3", "b": b"2"})
            assert follower.status.loads == 2

    asyncio.run(scene())


def test_no_number_comes_again_after_redis_was_emptied(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        reader, numbers = Gated(redis_url), list[int]()
        async with writing(redis_url) as model:
            for rep_first in (False, True, False):
                server.flushall()
                if not rep_first:
                    await model.publish(ONE, 1, partials(a="1"), whole=True)
                await model.put_rep(RepUpdated(rep_id="ann", name=f"Ann {rep_first}"), 1)
                numbers += [
                    int(entry[b"number"])
                    for _, entry in await reader.entries_after(f"{PREFIX}:changes", b"0-0", 10, None)
                ]
        await reader.close()
        assert numbers == sorted(set(numbers))
        assert len(numbers) > 3

    asyncio.run(scene())


class Overtaken(RedisConnection):
    """A reader that is overtaken by a publication right after it has read the first section."""

    def __init__(self, url: str, publish: Callable[[], Awaitable[object]]) -> None:
        super().__init__(Redis.from_url(url, protocol=2), url)
        self._publish: Callable[[], Awaitable[object]] | None = publish

    async def scan(self, key: str, count: int) -> AsyncIterator[dict[bytes, bytes]]:
        async for fields in super().scan(key, count):
            yield fields
        if self._publish is not None:
            publish, self._publish = self._publish, None
            await publish()


class Witness(FollowedView):
    """Remembers what it held at every published offset."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, dict[str, bytes]]] = []

    def published(self, partition: str, offset: int, stream_us: int) -> None:
        super().published(partition, offset, stream_us)
        self.seen.append((offset, dict(self.holds(partition))))


def test_an_offset_never_comes_before_what_was_published_with_it(redis_url: str) -> None:
    async def scene() -> None:
        view = Witness()
        async with writing(redis_url) as model:
            await model.publish(ONE, 1, partials(a="1"), whole=True)
            reader = Overtaken(redis_url, lambda: model.publish(ONE, 2, partials(a="2"), whole=False))
            async with following(reader, view):
                await until(lambda: view.offsets.get(ONE, (0, 0))[0] == 2)
        assert (1, {"a": b"1"}) in view.seen
        assert all(held == {"a": b"2"} for offset, held in view.seen if offset == 2)

    asyncio.run(scene())


def test_cancelling_always_ends_it(redis_url: str) -> None:
    async def scene(turns: int) -> None:
        async with asyncio.timeout(20), following(Gated(redis_url), FollowedView()):
            for _ in range(turns):
                await asyncio.sleep(0)

    for turns in range(60):
        asyncio.run(scene(turns))


def test_an_emptied_redis_keeps_the_last_state_until_workers_publish_again(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        view, reader = FollowedView(), Gated(redis_url)
        async with writing(redis_url) as model, following(reader, view) as follower:
            await model.put_rep(RepUpdated(rep_id="ann", name="Ann"), 1)
            await model.publish(ONE, 1, partials(a="1"), whole=True)
            await model.publish(TWO, 1, partials(z="1"), whole=True)
            await until(lambda: view.holds(ONE) and view.holds(TWO))
            server.flushall()
            await until(lambda: follower.status.emptied)
            assert (view.holds(ONE), view.holds(TWO), set(view.reps)) == ({"a": b"1"}, {"z": b"1"}, {"ann"})
            assert await model.publish(ONE, 2, partials(b="2"), whole=False) is PublicationOutcome.EMPTY
            await model.publish(ONE, 2, partials(b="2"), whole=True)
            await until(lambda: view.holds(ONE) == {"b": b"2"})
            assert view.holds(TWO) == {"z": b"1"}
            await until(lambda: not follower.status.emptied)

    asyncio.run(scene())


class Emptying(RedisConnection):
    """A reader of a Redis that is emptied just before values are read, once it is armed."""

    def __init__(self, url: str, server: redis.Redis) -> None:
        super().__init__(Redis.from_url(url, protocol=2), url)
        self.armed = False
        self._server = server

    async def fields_of(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[list[bytes | None]]:
        self._empty()
        return await super().fields_of(wanted)

    def scan(self, key: str, count: int) -> AsyncIterator[dict[bytes, bytes]]:
        self._empty()
        return super().scan(key, count)

    def _empty(self) -> None:
        if self.armed:
            self.armed = False
            self._server.flushall()


class Losses(FollowedView):
    """Notes the fields and the reps that were removed."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: list[str] = []

    def put(self, partition: str, section: Section, field: str, raw: bytes | None) -> None:
        super().put(partition, section, field, raw)
        self.lost += [field] if raw is None else []

    def put_rep(self, rep_id: str, raw: bytes | None) -> None:
        super().put_rep(rep_id, raw)
        self.lost += [rep_id] if raw is None else []


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_missing_from_a_redis_that_is_emptied_while_it_is_read_is_not_gone(
    redis_url: str, server: redis.Redis, whole: bool
) -> None:
    """Between the news of a change and the values, and in the middle of a load."""

    async def scene() -> None:
        view, reader = Losses(), Emptying(redis_url, server)
        async with writing(redis_url) as model, following(reader, view) as follower:
            await model.put_rep(RepUpdated(rep_id="ann", name="Ann"), 1)
            await model.publish(ONE, 1, partials(a="1"), whole=True)
            await model.publish(ONE, 2, partials(b="2"), whole=False)
            await until(lambda: view.offsets.get(ONE) == (2, 0))
            reader.armed = True
            await model.publish(ONE, 3, partials(a="3", b="2"), whole=whole)
            await until(lambda: follower.status.emptied)
            assert view.lost == []
            assert set(view.holds(ONE)) == {"a", "b"}
            await model.publish(ONE, 4, partials(a="4"), whole=True)
            await until(lambda: view.holds(ONE) == {"a": b"4"})

    asyncio.run(scene())


def test_a_redis_that_dies_is_reported_and_its_return_repairs_everything(tmp_path: Path) -> None:
    first = EmbeddedRedis.start(tmp_path / "first")

    async def scene() -> None:
        view = FollowedView()
        async with writing(first.url) as model, following(connection(first.url), view) as follower:
            await model.publish(ONE, 1, partials(a="1"), whole=True)
            await until(lambda: view.holds(ONE))
            first.process.kill()
            await until(lambda: follower.status.down_since_us)
            assert follower.status.down_since_us == 77
            assert view.holds(ONE) == {"a": b"1"}
            second = await asyncio.to_thread(EmbeddedRedis.start, tmp_path / "second", first.port)
            try:
                await until(lambda: follower.status.down_since_us is None)
                assert view.holds(ONE) == {"a": b"1"}
                await model.publish(ONE, 2, partials(b="2"), whole=True)
                await until(lambda: view.holds(ONE) == {"b": b"2"})
            finally:
                second.stop()

    asyncio.run(scene())


def test_a_follower_that_starts_before_redis_waits_for_it(tmp_path: Path) -> None:
    first = EmbeddedRedis.start(tmp_path / "first")
    first.process.kill()

    async def scene() -> None:
        view = FollowedView()
        async with following(connection(first.url), view) as follower:
            await until(lambda: follower.status.why_down)
            assert not follower.status.loaded
            second = await asyncio.to_thread(EmbeddedRedis.start, tmp_path / "second", first.port)
            try:
                await until(lambda: follower.status.loaded)
            finally:
                second.stop()

    asyncio.run(scene())


def test_a_reader_slower_than_the_writers_reads_each_field_once(redis_url: str) -> None:
    async def scene() -> None:
        view, reader = FollowedView(), Gated(redis_url)
        async with writing(redis_url) as model:
            await model.publish(ONE, 0, changes(), whole=True)
            await lag(model, reader, view)

    async def lag(model: ReadModelWriter, reader: Gated, view: FollowedView) -> None:
        async with following(reader, view) as follower:
            await until(lambda: follower.status.loaded)
            reader.gate.clear()
            await until(lambda: reader.held)
            for offset in range(1, 60):
                await model.publish(ONE, offset, partials(a=str(offset)), whole=False)
            applied = []
            view.put = lambda *change: applied.append(change)  # type: ignore[method-assign]
            reader.gate.set()
            await until(lambda: view.offsets[ONE][0] == 59)
            assert applied == [(ONE, "partials", "a", b"59")]

    asyncio.run(scene())


def test_more_changes_than_are_read_at_once_all_arrive(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.read_model.follower.CHANGES_BATCH_SIZE", 3)

    async def scene() -> None:
        view = FollowedView()
        async with writing(redis_url) as model, following(Gated(redis_url), view) as follower:
            await model.publish(ONE, 1, partials(), whole=True)
            await until(lambda: ONE in view.offsets and follower.status.loaded)
            some = {f"f{number}": b"%d" % number for number in range(7)}
            other = {"a": b"1", "b": b"2"}
            await model.publish(ONE, 2, changes({"partials": some, "quality": other, "open": other}), whole=False)
            await model.put_reps([(RepUpdated(rep_id=f"r{number}", name="x"), 1) for number in range(4)])
            await until(lambda: len(view.reps) == 4)
            assert [view.holds(ONE, section) for section in ("partials", "quality", "open")] == [some, other, other]

    asyncio.run(scene())


fields = st.dictionaries(st.sampled_from("abcdé|"), st.binary(max_size=3), max_size=4)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("whole"), st.sampled_from([ONE, TWO]), fields),
        st.tuples(st.just("delta"), st.sampled_from([ONE, TWO]), fields),
        st.tuples(st.just("reset"), st.sampled_from([ONE, TWO]), st.just({})),
        st.tuples(st.just("flush"), st.just(ONE), st.just({})),
    ),
    max_size=12,
)


@given(steps)
@checks(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_course_of_publications_reader_and_writer_agree(
    redis_url: str, server: redis.Redis, course: list[tuple[str, str, dict[str, bytes]]]
) -> None:
    server.flushall()

    async def scene() -> None:
        view, truth = FollowedView(), {ONE: dict[str, bytes](), TWO: dict[str, bytes]()}
        async with writing(redis_url) as model, following(Gated(redis_url), view):
            for offset, (kind, partition, some) in enumerate(course):
                if kind == "flush":
                    server.flushall()
                elif kind == "reset":
                    truth[partition] = {}
                    await model.reset(partition)
                else:
                    await play(model, truth, kind, partition, offset, some)
            for partition, held in truth.items():
                await model.publish(partition, 100, changes({"partials": held}), whole=True)
            await until(lambda: all(view.offsets.get(partition, (0, 0))[0] == 100 for partition in truth))
            assert {partition: view.holds(partition) for partition in truth} == truth

    asyncio.run(scene())


async def play(
    model: ReadModelWriter,
    truth: dict[str, dict[str, bytes]],
    kind: str,
    partition: str,
    offset: int,
    some: dict[str, bytes],
) -> None:
    """One publication as a worker does it: changes first, and everything when Redis asks for it."""
    gone = [] if kind == "whole" else [name for name in truth[partition] if name not in some][:1]
    truth[partition] = (
        some if kind == "whole" else {k: v for k, v in (truth[partition] | some).items() if k not in gone}
    )
    news = changes({"partials": some}, {"partials": gone})
    outcome = await model.publish(partition, offset, news, whole=kind == "whole")
    if outcome is PublicationOutcome.EMPTY:
        everything = changes({"partials": truth[partition]})
        assert await model.publish(partition, offset, everything, whole=True) is PublicationOutcome.ACCEPTED


class Wall:
    """What the wall's clock shows."""

    now_us = 10**15

    def __call__(self) -> int:
        return self.now_us


def test_a_partition_that_nobody_publishes_any_more_is_silent_until_it_is_published_again(redis_url: str) -> None:
    async def scene() -> None:
        view, wall = FollowedView(), Wall()
        began_us = wall.now_us
        async with writing(redis_url) as model, following(connection(redis_url), view, wall) as follower:
            for partition in (ONE, TWO):
                await model.publish(partition, 1, partials(a="1"), whole=True)
            await until(lambda: len(view.offsets) == 2)
            assert follower.status.stale_since_us is None
            wall.now_us += SILENT_AFTER_US + 1
            await model.publish(TWO, 2, partials(a="2"), whole=False)
            await until(lambda: follower.status.silent)
            await until(lambda: set(follower.status.silent) == {ONE})
            assert began_us - 5_000_000 < (follower.status.stale_since_us or 0) <= began_us
            assert follower.status.why_stale == f"no worker publishes {ONE}"
            await model.publish(ONE, 2, partials(a="2"), whole=False)
            await until(lambda: not follower.status.silent)
            assert follower.status.stale_since_us is None

    asyncio.run(scene())


def test_a_board_that_starts_while_nobody_publishes_knows_since_when(redis_url: str, server: Any) -> None:
    async def scene() -> None:
        view, wall = FollowedView(), Wall()
        async with writing(redis_url) as model:
            await model.publish(ONE, 1, partials(a="1"), whole=True)
        [(entry_id, fields)] = server.xrange(f"{PREFIX}:changes")
        server.delete(f"{PREFIX}:changes")
        long_ago = int(entry_id.split(b"-")[0]) - 60_000
        server.xadd(f"{PREFIX}:changes", fields, id=f"{long_ago}-0")
        async with following(connection(redis_url), view, wall) as follower:
            await until(lambda: follower.status.loaded)
            since_us = follower.status.stale_since_us
            assert since_us is not None
            assert 60_000_000 <= wall.now_us - since_us < 120_000_000

    asyncio.run(scene())


def silent_later(follower: Follower, wall: Wall) -> bool:
    """Whether nothing comes for long. A reader that loads again counts it as news, so time goes on at each look."""
    wall.now_us += SILENT_AFTER_US + 1
    return bool(follower.status.silent)


@pytest.mark.parametrize("refusal", ["REPLICAOF 127.0.0.1 1", "CONFIG SET maxmemory 1"])
def test_a_redis_that_takes_nothing_makes_what_is_shown_stale(redis_url: str, server: Any, refusal: str) -> None:
    async def scene() -> None:
        view, wall = FollowedView(), Wall()
        async with writing(redis_url) as model, following(connection(redis_url), view, wall) as follower:
            await model.publish(ONE, 1, partials(a="1"), whole=True)
            await until(lambda: view.offsets)
            try:
                server.execute_command(*refusal.split())
                with pytest.raises(Unavailable, match="refuses"):
                    await model.publish(ONE, 2, partials(a="2"), whole=False)
                await until(lambda: silent_later(follower, wall))
                assert follower.status.stale_since_us is not None
                # A replica ends the reads that wait: the reader was down for a moment.
                await until(lambda: follower.status.down_since_us is None)
            finally:
                server.execute_command(
                    *(("REPLICAOF", "NO", "ONE") if "REPLICA" in refusal else ("CONFIG", "SET", "maxmemory", "0"))
                )
            await model.publish(ONE, 3, partials(a="3"), whole=True)
            await until(lambda: follower.status.stale_since_us is None)

    asyncio.run(scene())
