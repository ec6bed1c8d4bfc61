"""Clients that do not read, do not write, or ask for too much, keep nobody else from the board."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from config.board_settings import BoardSettings
from config.settings import RedisSettings, Settings
from processors.board.api import request_body
from processors.board.pages.url_filters import Context, UrlFilters
from processors.board.pages.waiting_view import WaitingView
from tests.board.pages.test_hostile_text import fill
from tests.board.served import Served, furnish, served_by
from tests.read_model.followed_view import PREFIX, until

Scene = Callable[[Served], Awaitable[None]]
DEADLINE_SECONDS = 20.0


def on_board(redis_url: str, scene: Scene, board: BoardSettings | None = None) -> None:
    settings = Settings(redis=RedisSettings(url=redis_url, prefix=PREFIX), board=board or BoardSettings())

    async def run() -> None:
        async with served_by(settings) as running:
            await furnish(running)
            async with asyncio.timeout(60):
                await scene(running)

    asyncio.run(run())


@contextmanager
def deaf(board: Served, path: str) -> Iterator[socket.socket]:
    """A client that asks for something, and takes next to nothing of it."""
    url = board.client.make_url("")
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((url.host, url.port))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        yield connection


def test_scrapes_that_nobody_takes_hold_up_no_other(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        fill(board, 4000)
        await until(lambda: board.exposition.is_complete and board.exposition.samples > 100_000)
        with ExitStack() as held:
            for _ in range(3):
                connection = held.enter_context(deaf(board, "/metrics"))
                await asyncio.to_thread(connection.recv, 16)
            async with asyncio.timeout(DEADLINE_SECONDS):
                assert "crm_" in await board.text("/metrics")

    on_board(redis_url, scene)


def test_one_client_has_so_many_answers_under_way_and_no_more(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        fill(board, 4000)
        await until(lambda: board.exposition.is_complete and board.exposition.samples > 100_000)
        with ExitStack() as held:
            for _ in range(4):
                connection = held.enter_context(deaf(board, "/metrics"))
                await asyncio.to_thread(connection.recv, 16)
            async with board.client.get("/metrics") as response:
                assert response.status == 429
                assert response.headers["Retry-After"] == "10"
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                async with board.client.get("/metrics") as response:
                    if response.status == 200:
                        break

    on_board(redis_url, scene)


def test_streams_have_a_limit_by_client_and_are_free_again_once_closed(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        first = await board.client.get("/live/waiting")
        second = await board.client.get("/live/funnel")
        async with board.client.get("/live/quality") as third:
            assert third.status == 429
            assert "2 pages of yours are open already" in (await third.json(content_type=None))["detail"]
        first.close()
        second.close()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                async with board.client.get("/live/quality") as again:
                    if again.status == 200:
                        break
                await asyncio.sleep(0.02)

    on_board(redis_url, scene, BoardSettings(streams_per_client=2))


def test_streams_have_a_limit_for_all_together(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        first = await board.client.get("/live/waiting")
        async with board.client.get("/live/quality") as second:
            assert second.status == 503
        first.close()

    on_board(redis_url, scene, BoardSettings(streams=1))


@pytest.mark.parametrize("query", ["zz={}", "page=x{}", "page=0&sort={}", "team=&lang=de&zz={}"])
def test_what_means_nothing_in_an_address_makes_no_fragment_of_its_own(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    made: list[UrlFilters] = []
    fill_view = WaitingView.fill

    async def counted(view: WaitingView, choices: UrlFilters) -> Context:
        made.append(choices)
        return await fill_view(view, choices)

    monkeypatch.setattr(WaitingView, "fill", counted)

    async def scene(board: Served) -> None:
        streams = [await board.client.get(f"/live/waiting?{query.format(number)}") for number in range(20)]
        for stream in streams:
            await stream.content.readuntil(b"\n\n")
            await stream.content.readuntil(b"\n\n")
        assert {tuple(choices.items()) for choices in made} == {()}
        assert 'data-live="/live/waiting"' in await board.text(f"/?{query.format(7)}")
        for stream in streams:
            stream.close()

    on_board(redis_url, scene)


def test_a_body_that_does_not_come_is_not_waited_for(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "BODY_TIMEOUT_SECONDS", 0.3)

    async def scene(board: Served) -> None:
        url = board.client.make_url("")
        reader, writer = await asyncio.open_connection(url.host, url.port)
        head = (
            "PUT /api/v1/requests/r1/acknowledgement HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        )
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await reader.readline() == b"HTTP/1.1 408 Request Timeout\r\n"
            assert b"did not come within 0.3 s" in await reader.readuntil(b"}")
        writer.close()

    on_board(redis_url, scene)


def test_pages_are_kept_by_nobody(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        for path in ("/", "/leaderboards", "/reps/ann", "/reps/nobody", "/funnel", "/quality", "/live/waiting"):
            async with board.client.get(path) as response:
                assert response.headers["Cache-Control"] == "private, no-store", path
                response.close()

    on_board(redis_url, scene)
