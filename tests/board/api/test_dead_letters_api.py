"""The newest dead letters over HTTP, from a real topic."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from config.settings import RedisSettings, Settings
from processors.board.state.dead_letter_tail import MAX_VALUE_CHARACTERS, DeadLetterTail
from processors.kafka.admin import admin_client
from processors.kafka.producer import producer
from tests.board.served import Served, served_by
from tests.read_model.followed_view import PREFIX

PATH = "/api/v1/dead-letters"
Scene = Callable[[Served], Awaitable[None]]


def write(settings: Settings, *letters: tuple[str, bytes]) -> None:
    """Write dead letters as workers do: reason and record."""
    with producer(settings.kafka) as client:
        for number, (reason, value) in enumerate(letters):
            texts = {"reason": reason, "detail": f"not {reason}", "topic": "crm.events", "partition": "1"}
            headers = [(name, text.encode()) for name, text in (texts | {"offset": str(number)}).items()]
            client.send(settings.kafka.dead_letters_topic, key=b"c<1>", value=value, headers=headers).get(timeout=30)


def on_board(settings: Settings, scene: Scene, kept: int = 5) -> None:
    """A scene on a board that keeps so many letters."""
    board_settings = msgspec.structs.replace(settings.board, dead_letters_kept=kept)

    async def run() -> None:
        async with served_by(msgspec.structs.replace(settings, board=board_settings)) as board:
            await scene(board)

    asyncio.run(run())


def test_the_newest_letters_come_first_with_their_reasons(topics: Settings) -> None:
    hostile = "<script>alert(1)</script> 张伟"
    write(topics, ("malformed", b"{"), ("orphan", hostile.encode()), ("malformed", b"\xff\x00"))

    async def scene(board: Served) -> None:
        body = await board.json(PATH)
        assert [(one["reason"], one["value"], one["letter"]) for one in body["items"]] == [
            ("malformed", "\ufffd\x00", "0@2"),
            ("orphan", hostile, "0@1"),
            ("malformed", "{", "0@0"),
        ]
        first = body["items"][0]
        assert (first["topic"], first["partition"], first["offset"], first["key"]) == ("crm.events", "1", "2", "c<1>")
        assert (first["detail"], first["value_bytes"]) == ("not malformed", 2)
        assert (body["total"], body["kept"], body["failure"]) == (3, 5, None)
        assert body["counts"] == {"malformed": 2, "orphan": 1}
        only = await board.json(f"{PATH}?reason=orphan")
        assert [one["reason"] for one in only["items"]] == ["orphan"]

    on_board(topics, scene)


def test_a_board_that_has_just_started_shows_the_letters_on_the_first_page_that_asks(topics: Settings) -> None:
    write(topics, ("malformed", b"{"))

    async def scene(board: Served) -> None:
        assert "not malformed" in await board.text("/quality")

    on_board(topics, scene)


def test_foreign_headers_cost_no_letter_and_no_board(topics: Settings) -> None:
    lengths = [b"abc", b"", b"9" * 5000, b"-1", b"\xd9\xa3", b"\xff", b"7"]
    with producer(topics.kafka) as client:
        for length in lengths:
            headers = [("value_bytes", length), ("value_bytes", length), ("reason", b"\xff"), ("\u202e", b"x")]
            client.send(topics.kafka.dead_letters_topic, value=b"four", headers=headers)
        client.flush()

    async def scene(board: Served) -> None:
        items = (await board.json(PATH))["items"]
        assert [one["value_bytes"] for one in items] == [7, 4, 4, 4, 4, 4, 4]
        assert "\ufffd" in await board.text("/quality")

    on_board(topics, scene, kept=len(lengths))


def test_new_letters_appear_and_memory_stays_bounded(topics: Settings) -> None:
    write(topics, *[("malformed", b"x" * 100_000)] * 9)

    async def run() -> None:
        letters = DeadLetterTail(topics.kafka, 5)
        first = await letters.fresh()
        assert [one.letter for one in first.items] == [f"0@{offset}" for offset in (8, 7, 6, 5, 4)]
        assert {(len(one.value), one.value_bytes) for one in first.items} == {(MAX_VALUE_CHARACTERS, 100_000)}
        await asyncio.to_thread(write, topics, ("orphan", b"y"))
        async with asyncio.timeout(30):
            while (await letters.fresh()).items[0].reason != "orphan":
                await asyncio.sleep(0.1)
        assert [one.letter for one in (await letters.fresh()).items] == [f"0@{offset}" for offset in (9, 8, 7, 6, 5)]

    asyncio.run(run())


def test_pages_of_letters_go_on_though_new_ones_came(topics: Settings) -> None:
    write(topics, *[("malformed", b"x")] * 3)

    async def scene(board: Served) -> None:
        first = await board.json(f"{PATH}?limit=2")
        assert [one["letter"] for one in first["items"]] == ["0@2", "0@1"]
        await asyncio.to_thread(write, topics, ("orphan", b"y"))
        second = await board.json(first["next"])
        assert [one["letter"] for one in second["items"]] == ["0@0"]
        assert second["next"] is None
        await board.json(f"{PATH}?after=Ijk5QDki", 410)

    on_board(topics, scene)


def test_without_kafka_the_failure_is_reported(settings: Settings) -> None:
    away = msgspec.structs.replace(settings.kafka, bootstrap="127.0.0.1:1")

    async def scene(board: Served) -> None:
        assert "Kafka at 127.0.0.1:1" in (await board.json(PATH, 503))["detail"]
        assert (await board.json("/api/v1/reps"))["items"] == []

    on_board(msgspec.structs.replace(settings, kafka=away), scene)


def test_a_missing_topic_is_reported_and_not_created_by_looking(settings: Settings) -> None:
    topic = settings.kafka.dead_letters_topic

    async def scene(board: Served) -> None:
        assert f"it has no topic {topic}: `salespulse topics` creates it" in (await board.json(PATH, 503))["detail"]
        assert f"it has no topic {topic}: `salespulse topics` creates it" in await board.text("/quality")

    on_board(settings, scene)
    with admin_client(settings.kafka) as admin:
        assert topic not in admin.list_topics()


def test_who_keeps_no_letters_does_not_read_kafka(redis_url: str) -> None:
    settings = Settings(redis=RedisSettings(url=redis_url, prefix=PREFIX))

    async def scene(board: Served) -> None:
        assert "board.dead_letters_kept is 0" in (await board.json(PATH, 404))["detail"]

    on_board(settings, scene, kept=0)
