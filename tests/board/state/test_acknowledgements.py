"""Acknowledging and snoozing over HTTP: on a real Redis, and recorded on a real topic."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
import redis

from config.settings import Settings
from processors.core.time.instants import rfc3339
from processors.dev.process import free_port
from processors.kafka.topic_reader import read_topics
from processors.read_model.acknowledgements import HoldEvent, TurnKey
from tests.board.scene import NOW_US
from tests.board.served import ONE, Served, furnish, served_by, waiting
from tests.notifier.world import hook, notifying, publish_alerts, transition, with_notifier
from tests.notifier.world import until as eventually
from tests.read_model.followed_view import until

ACK, SNOOZE = "/api/v1/requests/r1/acknowledgement", "/api/v1/requests/r1/snooze"
SECOND_US = 1_000_000
NOBODY = dict.fromkeys(("acknowledged_by", "acknowledged_at", "snoozed_by", "snoozed_at", "snoozed_until"))


def on_board(settings: Settings, scene: Callable[[Served], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served_by(settings) as board:
            await furnish(board)
            await scene(board)

    asyncio.run(run())


def recorded(settings: Settings) -> list[HoldEvent]:
    """What stands on the topic."""
    records = list(read_topics(settings.kafka, (settings.notifier.acks_topic,)))
    assert {record.key for record in records} <= {b"c-r1|r1|1"}
    return [msgspec.json.decode(record.value or b"", type=HoldEvent) for record in records]


async def send(board: Served, method: str, path: str, status: int, **more: Any) -> Any:
    """The body of an answer that has this status."""
    async with board.client.request(method, path, **more) as response:
        assert response.status == status, await response.text()
        return None if status == 204 else await response.json(content_type=None)


async def holds(board: Served, request_id: str = "r1") -> dict[str, Any]:
    """What the list says of a request's hold."""
    items = (await board.json("/api/v1/requests"))["items"]
    found = next(item for item in items if item["request_id"] == request_id)
    return {name: found[name] for name in NOBODY}


def test_an_acknowledged_request_names_who_acknowledged_it_until_released(topics: Settings) -> None:
    async def scene(board: Served) -> None:
        assert await holds(board) == NOBODY
        answer = await send(board, "PUT", ACK, 200, json={"by": "Zoë <b>"})
        expected = NOBODY | {"acknowledged_by": "Zoë <b>", "acknowledged_at": rfc3339(NOW_US)}
        assert {name: answer[name] for name in NOBODY} == expected == await holds(board)
        assert await holds(board, "r2") == NOBODY
        kept = await board.acknowledgements.holds.all()
        assert kept[TurnKey("c-r1", "r1", 1)].by == "Zoë <b>"
        await send(board, "DELETE", f"{SNOOZE}?by=bob", 204)
        assert await holds(board) == expected
        await send(board, "DELETE", f"{ACK}?by=bob", 204)
        await send(board, "DELETE", f"{ACK}?by=bob", 204)
        assert await holds(board) == NOBODY

    on_board(topics, scene)
    assert [(event.action, event.by) for event in recorded(topics)] == [
        ("acknowledged", "Zoë <b>"),
        ("released", "bob"),
    ]


def test_a_snoozed_request_shows_until_when_and_wakes_by_itself(topics: Settings) -> None:
    async def scene(board: Served) -> None:
        await send(board, "PUT", SNOOZE, 200, json={"by": "ann", "seconds": 60})
        until_us = NOW_US + 60 * SECOND_US
        snoozed = {"snoozed_by": "ann", "snoozed_at": rfc3339(NOW_US), "snoozed_until": rfc3339(until_us)}
        assert await holds(board) == NOBODY | snoozed
        board.walls[0] = until_us - 1
        assert await holds(board) == NOBODY | snoozed
        board.walls[0] = until_us
        assert await holds(board) == NOBODY
        later = rfc3339(until_us + 3_600 * SECOND_US)
        answer = await send(board, "PUT", SNOOZE, 200, json={"until": later})
        assert (answer["snoozed_until"], answer["snoozed_by"]) == (later, "anonymous")
        await send(board, "DELETE", SNOOZE, 204)
        assert await holds(board) == NOBODY

    on_board(topics, scene)
    assert [event.action for event in recorded(topics)] == ["snoozed", "snoozed", "released"]


def test_what_others_put_into_redis_appears_and_changes_the_tag_and_the_version(topics: Settings) -> None:
    async def scene(board: Served) -> None:
        async with served_by(topics) as other:
            await until(lambda: other.store.open_requests.with_id("r1"))
            async with board.client.get("/api/v1/requests") as response:
                tag = response.headers["ETag"]
            version = board.store.version
            await send(other, "PUT", ACK, 200, json={"by": "ann"})
            await until(lambda: board.store.version > version)
        async with board.client.get("/api/v1/requests", headers={"If-None-Match": tag}) as response:
            assert response.status == 200
        assert (await holds(board))["acknowledged_by"] == "ann"

    on_board(topics, scene)


def test_damage_in_redis_is_logged_and_known_holds_stay(topics: Settings, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(board: Served) -> None:
        await send(board, "PUT", ACK, 200, json={"by": "ann"})
        with redis.Redis.from_url(topics.redis.url) as server:
            server.hset(f"{topics.redis.prefix}:acks", "x", "{}")
        await until(lambda: "that is no hold" in caplog.text)
        assert (await holds(board))["acknowledged_by"] == "ann"

    on_board(topics, scene)


def test_one_request_can_be_asked_for(topics: Settings) -> None:
    async def scene(board: Served) -> None:
        one = await board.json("/api/v1/requests/r1")
        assert (one["request_id"], one["customer_id"], one["waiting_seconds"]) == ("r1", "c-r1", 600.0)
        async with board.client.get("/api/v1/requests/r1") as response:
            tag = response.headers["ETag"]
        board.walls[0] += SECOND_US
        async with board.client.get("/api/v1/requests/r1", headers={"If-None-Match": tag}) as response:
            assert response.status == 304
        assert "waits" in (await board.json("/api/v1/requests/r3", 404))["detail"]

    on_board(topics, scene)


def test_the_turn_and_the_customer_can_be_specified(topics: Settings) -> None:
    async def scene(board: Served) -> None:
        twin = msgspec.structs.replace(waiting("r1", "bob", 5), customer_id="other", turn=3)
        board.store.put(ONE, "open", "other|r1", msgspec.msgpack.encode(twin))
        assert "2 customers" in (await send(board, "PUT", ACK, 409))["detail"]
        answer = await send(board, "PUT", f"{ACK}?customer_id=c-r1&turn=1", 200)
        assert (answer["customer_id"], answer["acknowledged_by"]) == ("c-r1", "anonymous")
        problem = await send(board, "PUT", f"{ACK}?customer_id=other&turn=2", 409)
        assert problem["detail"] == "request 'r1' waits in turn 3 by now, not in turn 2"
        await send(board, "PUT", f"{ACK}?customer_id=nobody", 404)

    on_board(topics, scene)


def test_an_id_with_anything_in_it_can_be_acknowledged(topics: Settings) -> None:
    async def scene(board: Served) -> None:
        hostile = waiting("a/b %2F<script>\n|张伟", "ann", 5)
        board.store.put(ONE, "open", "x", msgspec.msgpack.encode(hostile))
        path = "/api/v1/requests/a%2Fb%20%252F%3Cscript%3E%0A%7C%E5%BC%A0%E4%BC%9F/acknowledgement"
        answer = await send(board, "PUT", path, 200, json={"by": "أحمد"})
        assert (answer["request_id"], answer["acknowledged_by"]) == (hostile.request_id, "أحمد")
        await board.acknowledgements.refresh()
        assert (await holds(board, hostile.request_id))["acknowledged_by"] == "أحمد"
        await send(board, "DELETE", path, 204)

    async def run() -> None:
        async with served_by(topics) as board:
            await furnish(board)
            await scene(board)

    asyncio.run(run())
    assert len(list(read_topics(topics.kafka, (topics.notifier.acks_topic,)))) == 2


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        (ACK, "[]", 400, "Expected `object`"),
        (ACK, "{", 400, "the body is not as it should be"),
        (ACK, '{"by": ""}', 400, "length >= 1 - at `$.by`"),
        (ACK, '{"by": "%s"}' % ("x" * 129), 400, "length <= 128"),
        (ACK, '{"who": "ann"}', 400, "unknown field `who`"),
        (ACK, '{"by": "\\ud800"}', 400, "the body is not as it should be"),
        (ACK, " " * 20_000, 413, "larger than 16384 bytes"),
        (SNOOZE, "", 400, "one of seconds and until"),
        (SNOOZE, '{"seconds": 1, "until": "2026-11-26T00:00:00Z"}', 400, "one of seconds and until"),
        (SNOOZE, '{"seconds": 0}', 400, "`int` >= 1"),
        (SNOOZE, '{"seconds": 2592001}', 400, "`int` <= 2592000"),
        (SNOOZE, '{"until": "2026-11-26T00:00:00"}', 400, "timezone"),
        (SNOOZE, '{"until": "1970-01-01T00:00:00Z"}', 400, "within 30 days from now"),
        (SNOOZE, '{"until": "9999-12-31T23:59:59Z"}', 400, "within 30 days from now"),
        (ACK + "?turn=x", "", 400, "turn = 'x'"),
        (ACK + "?by=x", "", 400, "by = 'x': allowed is one of the parameters"),
    ],
)
def test_an_invalid_request_changes_nothing(redis_url: str, path: str, body: str, status: int, says: str) -> None:
    async def scene(board: Served) -> None:
        problem = await send(board, "PUT", path, status, data=body, headers={"Content-Type": "application/json"})
        assert says in problem["detail"]
        assert board.acknowledgements.known == {}

    on_board(without_kafka(redis_url), scene)


def without_kafka(redis_url: str) -> Settings:
    """Settings for a board whose Kafka is away."""
    replace, plain = msgspec.structs.replace, Settings()
    kafka = replace(plain.kafka, bootstrap=f"127.0.0.1:{free_port()}")
    return replace(plain, kafka=kafka, redis=replace(plain.redis, url=redis_url, prefix="t"))


def test_what_cannot_be_recorded_does_not_take_effect_and_everything_else_goes_on(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        problem = await send(board, "PUT", ACK, 503)
        assert "Kafka at 127.0.0.1:" in problem["detail"]
        assert await holds(board) == NOBODY

    on_board(without_kafka(redis_url), scene)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://outside.example"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://127.0.0.2:81"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:8080"}, 200),
    ],
)
def test_pages_of_other_sites_cannot_write(topics: Settings, headers: dict[str, str], status: int) -> None:
    async def scene(board: Served) -> None:
        await send(board, "PUT", ACK, status, headers={"Host": "127.0.0.2:81"} | headers)
        assert (await holds(board) == NOBODY) == (status == 403)

    on_board(topics, scene)


def test_an_acknowledged_request_is_not_notified_until_released(topics: Settings) -> None:
    async def run() -> None:
        async with hook() as receiver:
            settings = with_notifier(topics, webhook_url=receiver.url)
            async with served_by(settings) as board:
                await furnish(board)
                await send(board, "PUT", ACK, 200, json={"by": "ann"})
                async with notifying(settings):  # it reads what is held before it tells anything
                    alerts = [transition("r1", customer="c-r1"), transition("r2", customer="c-r2")]
                    await asyncio.to_thread(publish_alerts, settings, alerts)
                    await eventually(lambda: receiver.states("r2"), "the alert of a request that nobody holds")
                    assert receiver.states("r1") == []
                    await send(board, "DELETE", ACK, 204)
                    await eventually(lambda: receiver.states("r1"), "the alert that was held")

    asyncio.run(run())
