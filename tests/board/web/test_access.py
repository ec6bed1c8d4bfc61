"""Who may read and who may write: tokens, a proxy's word, nobody in particular."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from config.board_settings import BoardSettings
from config.notifier_settings import NotifierSettings
from config.settings import RedisSettings, Settings
from config.values import Secret
from tests.board.served import Served, furnish, served_by
from tests.read_model.followed_view import PREFIX

READER, WRITER = "reader-0123456789", "writer-0123456789"
TOKENS = Secret(f"grafana read {READER}\nann write {WRITER}")
PATHS = ["/", "/api/v1/requests", "/metrics", "/live/waiting", "/funnel", "/nothing", "/api/v1/me"]
ACK = "/api/v1/requests/r1/acknowledgement"
Scene = Callable[[Served], Awaitable[None]]


def on_board(redis_url: str, board: BoardSettings, scene: Scene) -> None:
    """A scene on a board whose Kafka is away."""
    notifier = NotifierSettings(board_url="https://board.example.com")
    settings = Settings(redis=RedisSettings(url=redis_url, prefix=PREFIX), board=board, notifier=notifier)
    kafka = msgspec.structs.replace(settings.kafka, bootstrap="127.0.0.1:1")
    settings = msgspec.structs.replace(settings, kafka=kafka)

    async def run() -> None:
        async with served_by(settings) as running:
            await furnish(running)
            await scene(running)

    asyncio.run(run())


async def status(board: Served, path: str, method: str = "GET", **headers: str) -> int:
    return (await reply(board, path, method, **headers))[0]


async def reply(board: Served, path: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    """The status, and the JSON if it is any."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with board.client.request(method, path, headers=named) as response:
        is_json = response.content_type.endswith("json")
        return response.status, await response.json(content_type=None) if is_json else None


def bearer(token: str) -> str:
    return f"Bearer {token}"


def basic(user: str, token: str) -> str:
    return "Basic " + b64encode(f"{user}:{token}".encode()).decode()


@pytest.mark.parametrize("wrong", [None, "", "Bearer", "Bearer x", f"Bearer {READER}x", f"Token {READER}", "Basic %%%"])
def test_without_a_known_token_everything_but_the_probes_is_closed(redis_url: str, wrong: str | None) -> None:
    async def scene(board: Served) -> None:
        headers = {} if wrong is None else {"Authorization": wrong}
        for path in PATHS:
            async with board.client.get(path, headers=headers) as response:
                assert response.status == 401, path
                assert response.content_type == "application/problem+json"
                asked = [value.split()[0] for value in response.headers.getall("WWW-Authenticate")]
                assert asked == ["Basic", "Bearer"]
                assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert await status(board, ACK, "PUT", **headers) == 401
        assert await status(board, "/healthz", **headers) == 200
        assert (await reply(board, "/readyz", **headers))[1]["redis"]["reason"] is None

    on_board(redis_url, BoardSettings(tokens=TOKENS), scene)


def test_a_reader_reads_and_a_writer_writes(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        for path in ("/", "/api/v1/requests", "/metrics", "/funnel"):
            assert await status(board, path, Authorization=bearer(READER)) == 200
            assert await status(board, path, Authorization=basic("whoever", READER)) == 200
        assert (await reply(board, "/api/v1/me", Authorization=bearer(READER)))[1] == {
            "name": "grafana",
            "may": ["read"],
        }
        me = (await reply(board, "/api/v1/me", Authorization=basic("x", WRITER)))[1]
        assert me == {"name": "ann", "may": ["read", "write"]}
        code, problem = await reply(board, ACK, "PUT", Authorization=bearer(READER))
        assert (code, problem["detail"]) == (403, "grafana may read, and not acknowledge or snooze")
        assert await status(board, ACK, "PUT", Authorization=bearer(WRITER)) == 503  # allowed, but Kafka is away

    on_board(redis_url, BoardSettings(tokens=TOKENS), scene)


def test_nobody_writes_under_another_name(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        headers = {"Authorization": bearer(WRITER)}
        async with board.client.put(ACK, json={"by": "bob"}, headers=headers) as response:
            assert response.status == 400
            assert "allowed is 'ann'" in (await response.json(content_type=None))["detail"]
        async with board.client.put(ACK, json={"by": "ann"}, headers=headers) as response:
            assert response.status == 503

    on_board(redis_url, BoardSettings(tokens=TOKENS), scene)


def test_metrics_can_be_open_while_the_rest_is_closed(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        assert await status(board, "/metrics") == 200
        assert await status(board, "/metrics", Authorization=bearer("wrong")) == 200
        assert await status(board, "/api/v1/reps") == 401

    on_board(redis_url, BoardSettings(tokens=TOKENS, metrics_access="open"), scene)


def test_anonymous_readers_are_allowed_where_configured(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        assert (await reply(board, "/api/v1/me"))[1] == {"name": None, "may": ["read"]}
        assert await status(board, ACK, "PUT") == 401
        assert await status(board, "/", Authorization=bearer("wrong")) == 401
        assert await status(board, ACK, "PUT", Authorization=bearer(WRITER)) == 503

    on_board(redis_url, BoardSettings(tokens=TOKENS, anonymous="read"), scene)


def test_a_proxy_names_the_caller(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        assert (await reply(board, "/api/v1/me", X_User="zoë"))[1] == {"name": "zoë", "may": ["read"]}
        assert (await reply(board, "/api/v1/me", X_User="ann"))[1] == {"name": "ann", "may": ["read", "write"]}
        assert await status(board, ACK, "PUT", X_User="zoë") == 403
        assert await status(board, ACK, "PUT", X_User="ann") == 503
        assert await status(board, "/") == 403
        assert await status(board, "/", X_User="") == 400
        assert await status(board, "/", X_User="x" * 129) == 400
        async with board.client.get("/", headers=[("X-User", "ann"), ("X-User", "bob")]) as response:
            assert response.status == 400

    on_board(redis_url, BoardSettings(user_header="X-User", writers=("ann",)), scene)


def test_a_proxy_that_is_not_trusted_is_not_believed(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        code, problem = await reply(board, "/api/v1/me", X_User="ann")
        assert (code, problem["detail"]) == (403, "X-User came from another place than board.trusted_proxies")

    on_board(redis_url, BoardSettings(user_header="X-User", trusted_proxies=("10.0.0.0/8",)), scene)


def test_a_header_that_is_not_configured_is_ignored(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        assert await status(board, "/", X_Forwarded_User="ann") == 401

    on_board(redis_url, BoardSettings(tokens=TOKENS), scene)


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost:8080", 200),
        ("[::1]:1", 200),
        ("192.168.1.2", 200),
        ("board.example.com", 200),
        ("rebound.evil.com", 421),
        ("evil]:x", 421),
    ],
)
def test_a_foreign_name_that_leads_to_this_machine_opens_nothing(redis_url: str, host: str, code: int) -> None:
    async def scene(board: Served) -> None:
        assert await status(board, "/api/v1/requests", Host=host) == code
        assert await status(board, "/healthz", Host=host) == 200

    on_board(redis_url, BoardSettings(), scene)


def test_tokens_are_nowhere_in_what_is_logged_or_answered(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(board: Served) -> None:
        board.store.segments = broken  # type: ignore[method-assign]
        for token in (WRITER, "wrong-0123456789"):
            async with board.client.get("/api/v1/segments", headers={"Authorization": bearer(token)}) as response:
                assert token not in await response.text()

    with caplog.at_level(logging.DEBUG):
        on_board(redis_url, BoardSettings(tokens=TOKENS), scene)
    assert "RuntimeError" in caplog.text
    assert WRITER not in caplog.text
    assert "wrong-0123456789" not in caplog.text


def broken() -> Any:
    raise RuntimeError("for the log")
