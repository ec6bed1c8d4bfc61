"""Publishing to a real Redis: absolute, fenced, whole or not at all."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import redis

from config.settings import RedisSettings
from config.values import Secret
from processors.dev.redis_server import EmbeddedRedis
from processors.read_model.publication import PublicationOutcome
from processors.read_model.redis_connection import connect
from processors.read_model.writer import ReadModelWriter
from schemas.errors import Unavailable
from schemas.events import RepUpdated
from schemas.views import SECTIONS
from tests.read_model.followed_view import PREFIX, changes, connection, partials, writing

PARTITION = "crm.events/0"
PARTIALS = f"{PREFIX}:{PARTITION}:partials"
FENCE = f"{PREFIX}:{PARTITION}:fence"
NOTHING = changes()


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


async def whole(model: ReadModelWriter, offset: int, **fields: str) -> PublicationOutcome:
    return await model.publish(PARTITION, offset, partials(**fields), whole=True)


async def delta(model: ReadModelWriter, offset: int, **fields: str) -> PublicationOutcome:
    return await model.publish(PARTITION, offset, partials(**fields), whole=False)


def test_a_whole_and_then_changes_are_what_redis_holds(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            assert await whole(model, 5, a="1", b="2") is PublicationOutcome.ACCEPTED
            news = changes({"partials": {"a": b"3"}, "open": {"c|r": b"x"}}, {"partials": ["b"]})
            assert await model.publish(PARTITION, 9, news, whole=False, stream_us=123) is PublicationOutcome.ACCEPTED
            assert await model.fence(PARTITION) == (9, "")

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"3"}
    assert server.hgetall(f"{PREFIX}:{PARTITION}:open") == {b"c|r": b"x"}
    assert server.hget(FENCE, "stream_us") == b"123"
    assert server.smembers(f"{PREFIX}:partitions") == {PARTITION.encode()}


def test_the_fence_names_the_clock_of_its_writer(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        model = ReadModelWriter(connection(redis_url), PREFIX, "a fast one")
        await whole(model, 5, a="1")
        await model.close()

    asyncio.run(scene())
    assert server.hget(FENCE, "clock") == b"a fast one"


def test_an_older_offset_changes_nothing_and_the_same_offset_is_fine(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            await whole(model, 10, a="1")
            assert await delta(model, 9, a="old") is PublicationOutcome.STALE
        async with writing(redis_url) as other:
            assert await whole(other, 9, a="old") is PublicationOutcome.STALE
            assert await whole(other, 10, a="same") is PublicationOutcome.ACCEPTED
            assert await delta(other, 10, a="again") is PublicationOutcome.ACCEPTED

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"again"}


def test_a_refused_change_does_not_count_and_the_next_one_goes_on(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            await whole(model, 10, a="1")
            assert await delta(model, 9, a="old") is PublicationOutcome.STALE
            assert await delta(model, 11, a="2") is PublicationOutcome.EMPTY
            assert await whole(model, 11, a="2") is PublicationOutcome.ACCEPTED

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"2"}


def test_the_first_publication_must_be_whole(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            assert await delta(model, 1, a="1") is PublicationOutcome.EMPTY

    asyncio.run(scene())
    assert server.keys(f"{PREFIX}:{PARTITION}:*") == []


def test_an_emptied_redis_is_noticed_and_filled_again_with_the_reps(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            await model.put_rep(RepUpdated(rep_id="ann", name="Ann"), 3)
            await whole(model, 1, a="1")
            server.flushall()
            assert await delta(model, 2, b="2") is PublicationOutcome.EMPTY
            assert server.dbsize() == 0
            assert await whole(model, 2, a="1", b="2") is PublicationOutcome.ACCEPTED

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"1", b"b": b"2"}
    assert server.hkeys(f"{PREFIX}:reps") == [b"ann"]


def test_a_redis_restored_from_an_older_copy_is_noticed(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            await whole(model, 1, a="1")
            copy = {key: server.dump(key) for key in (PARTIALS, FENCE)}
            assert await delta(model, 2, b="2") is PublicationOutcome.ACCEPTED
            for key, value in copy.items():
                assert isinstance(value, bytes)
                server.restore(key, 0, value, replace=True)
            assert await delta(model, 3, c="3") is PublicationOutcome.EMPTY

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"1"}


def test_a_writer_that_lost_the_partition_cannot_change_it(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as first, writing(redis_url) as second:
            await whole(first, 10, a="first")
            await whole(second, 12, a="second")
            assert await delta(first, 11, a="late") is PublicationOutcome.STALE
            assert await delta(first, 13, a="late") is PublicationOutcome.EMPTY

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"second"}


def test_a_whole_leaves_nothing_over_from_before(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            everything = changes({section: {"old": b"1"} for section in SECTIONS})
            await model.publish(PARTITION, 1, everything, whole=True)
            await whole(model, 1, new="1")

    asyncio.run(scene())
    keys = sorted(key for key in server.scan_iter(f"{PREFIX}:{PARTITION}:*"))
    assert keys == sorted([PARTIALS.encode(), FENCE.encode()])
    assert server.hgetall(PARTIALS) == {b"new": b"1"}


def test_readers_of_a_large_whole_see_the_old_or_the_new_and_never_a_part(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> set[int]:
        seen = set()
        async with writing(redis_url) as model:
            await whole(model, 1, old="1")
            many = changes({"partials": {f"rep|r{i}|1": b"x" * 50 for i in range(20_000)}})
            task = asyncio.create_task(model.publish(PARTITION, 2, many, whole=True))
            while not task.done():
                seen.add(await asyncio.to_thread(server.hlen, PARTIALS))
            assert await task is PublicationOutcome.ACCEPTED
        return {length for length in seen if isinstance(length, int)}

    assert asyncio.run(scene()) <= {1, 20_000}
    assert server.hlen(PARTIALS) == 20_000


def test_a_large_change_goes_over_in_portions_and_arrives_whole(redis_url: str, server: redis.Redis) -> None:
    many = changes({"partials": {f"f{i}": b"x" * 2000 for i in range(2500)}}, {"partials": ["gone"]})

    async def scene() -> None:
        async with writing(redis_url) as model:
            await whole(model, 1, gone="1")
            assert await model.publish(PARTITION, 2, many, whole=False) is PublicationOutcome.ACCEPTED

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {name.encode(): raw for name, raw in many.puts["partials"].items()}
    assert server.xlen(f"{PREFIX}:changes") >= 5


def test_a_whole_that_another_writer_overtakes_does_not_win(redis_url: str, server: redis.Redis) -> None:
    many = changes({"partials": {f"f{i}": b"slow" for i in range(30_000)}})

    async def scene() -> None:
        async with writing(redis_url) as slow, writing(redis_url) as quick:
            task = asyncio.create_task(slow.publish(PARTITION, 5, many, whole=True))
            while not await asyncio.to_thread(server.hget, FENCE, "loader"):
                assert not task.done()
            assert await whole(quick, 6, a="quick") is PublicationOutcome.ACCEPTED
            assert await task in (PublicationOutcome.STALE, PublicationOutcome.EMPTY)

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"a": b"quick"}


def test_reset_forgets_a_topic_that_was_created_again(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            await whole(model, 1000, a="1")
            await model.reset(PARTITION)
            assert await model.fence(PARTITION) is None
            assert await whole(model, 3, b="2") is PublicationOutcome.ACCEPTED

    asyncio.run(scene())
    assert server.hgetall(PARTIALS) == {b"b": b"2"}


def test_an_older_entry_of_the_directory_does_not_replace_a_newer_one(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as first, writing(redis_url) as second:
            assert await first.put_rep(RepUpdated(rep_id="ann", name="New"), 8) == 1
            assert await second.put_rep(RepUpdated(rep_id="ann", name="Old"), 7) == 0
            assert await second.put_rep(RepUpdated(rep_id="ann", name="New"), 8) == 0
            assert await first.remove_rep("ann", 7) == 0
            assert server.hexists(f"{PREFIX}:reps", "ann")
            assert await first.remove_rep("ann", 9) == 1

    asyncio.run(scene())
    assert not server.exists(f"{PREFIX}:reps")
    assert server.xlen(f"{PREFIX}:changes") == 2


def test_a_directory_created_again_counts_from_its_beginning(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            await model.put_rep(RepUpdated(rep_id="ann", name="Ann"), 800)
            assert await model.rep_ids() == {"ann"}
            await model.reset_reps()
            assert await model.put_rep(RepUpdated(rep_id="ann", name="Anna"), 0) == 1

    asyncio.run(scene())
    assert b"Anna" in (server.hget(f"{PREFIX}:reps", "ann") or b"")


def test_many_reps_go_over_at_once(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> int:
        async with writing(redis_url) as model:
            return await model.put_reps((RepUpdated(rep_id=f"r{i}", name="x"), i) for i in range(2500))

    assert asyncio.run(scene()) == 2500
    assert server.hlen(f"{PREFIX}:reps") == 2500


def test_a_redis_that_is_away_is_unavailable_and_names_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"

    async def scene() -> None:
        async with writing(url) as model:
            await whole(model, 1, a="1")

    with pytest.raises(Unavailable, match=url):
        asyncio.run(scene())


def test_a_writer_survives_a_restart_of_redis(tmp_path: Path) -> None:
    first = EmbeddedRedis.start(tmp_path / "first")

    async def scene() -> None:
        async with writing(first.url) as model:
            assert await whole(model, 1, a="1") is PublicationOutcome.ACCEPTED
            first.process.kill()
            with pytest.raises(Unavailable):
                await delta(model, 2, b="2")
            second = await asyncio.to_thread(EmbeddedRedis.start, tmp_path / "second", first.port)
            try:
                assert await delta(model, 2, b="2") is PublicationOutcome.EMPTY
                assert await whole(model, 2, a="1", b="2") is PublicationOutcome.ACCEPTED
            finally:
                second.stop()

    asyncio.run(scene())


def test_a_password_is_used_and_a_wrong_one_is_unavailable(tmp_path: Path) -> None:
    server = EmbeddedRedis.start(tmp_path)
    with redis.Redis.from_url(server.url) as client:
        client.config_set("requirepass", "pass:word@/é")

    async def scene(word: str) -> PublicationOutcome:
        settings = RedisSettings(url=server.url, password=Secret(word))
        model = ReadModelWriter(connect(settings), PREFIX)
        try:
            return await whole(model, 1, a="1")
        finally:
            await model.close()

    try:
        assert asyncio.run(scene("pass:word@/é")) is PublicationOutcome.ACCEPTED
        with pytest.raises(Unavailable) as caught:
            asyncio.run(scene("wrong-guess"))
    finally:
        server.stop()
    assert "wrong-guess" not in str(caught.value)


@pytest.mark.parametrize("key", ["tls_cafile", "tls_certfile", "tls_keyfile"])
def test_a_missing_file_for_tls_is_named(tmp_path: Path, key: str) -> None:
    settings = msgspec.structs.replace(RedisSettings(url="rediss://127.0.0.1:1/0"), **{key: tmp_path / "none.pem"})
    with pytest.raises(Unavailable, match=rf"redis\.{key} = .*none\.pem"):
        connect(settings)


@pytest.mark.skipif(
    not (shutil.which("redis-server") and shutil.which("openssl")), reason="needs redis-server and openssl"
)
@pytest.mark.parametrize("asks", ["no", "yes"])
def test_tls_with_a_private_authority_works_and_without_it_fails(tmp_path: Path, asks: str) -> None:
    certificate, key, port = self_signed(tmp_path), tmp_path / "key.pem", free_port()
    program = str(shutil.which("redis-server"))
    tls = ["--tls-port", str(port), "--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
    tls += ["--tls-ca-cert-file", str(certificate), "--tls-auth-clients", asks]
    common = [program, "--port", "0", "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen([*common, *tls], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any("Ready to accept" in line for line in process.stdout)
        url = f"rediss://127.0.0.1:{port}/0"
        ours = RedisSettings(url=url, tls_cafile=certificate, tls_certfile=certificate, tls_keyfile=key)
        assert asyncio.run(publish_once(ours)) is PublicationOutcome.ACCEPTED
        with pytest.raises(Unavailable, match="certificate"):
            asyncio.run(publish_once(RedisSettings(url=url)))
        stranger = RedisSettings(url=url, tls_cafile=certificate)
        if asks == "no":
            assert asyncio.run(publish_once(stranger)) is PublicationOutcome.ACCEPTED
        else:
            with pytest.raises(Unavailable):
                asyncio.run(publish_once(stranger))
    finally:
        process.terminate()
        process.communicate(timeout=20)


async def publish_once(settings: RedisSettings) -> PublicationOutcome:
    model = ReadModelWriter(connect(settings), PREFIX)
    try:
        return await whole(model, 1, a="1")
    finally:
        await model.close()


def self_signed(directory: Path) -> Path:
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    command += [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
    ]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return directory / "cert.pem"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_the_connection_is_shared_by_many_publications_at_once(redis_url: str, server: redis.Redis) -> None:
    async def scene() -> None:
        async with writing(redis_url) as model:
            await whole(model, 0)
            outcomes = await asyncio.gather(*(delta(model, 1, **{f"f{i}": "1"}) for i in range(20)))
            assert set(outcomes) == {PublicationOutcome.ACCEPTED}

    asyncio.run(scene())
    assert server.hlen(PARTIALS) == 20


def test_a_connection_closes_twice_without_complaint(redis_url: str) -> None:
    async def scene() -> None:
        link = connection(redis_url)
        assert await link.get("nothing") is None
        await link.close()
        await link.close()

    asyncio.run(scene())
