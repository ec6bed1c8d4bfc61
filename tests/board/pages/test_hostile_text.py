"""Names of any kind, no reps, one, ten thousand, and a Redis that goes away and comes back: the API stays right."""

import asyncio
import html
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest

from processors.board.api.numbers_api import MAX_PAGE_BYTES
from processors.board.api.query import DEFAULT_PAGE_SIZE, encode_cursor
from processors.board.pages.url_filters import MAX_OFFERED_TEAMS
from processors.board.pages.waiting_view import WaitingView
from processors.board.state.store import Store
from processors.core.reports.foreign_text import visible
from processors.core.state.first_names import MAX_FREE_KINDS, MAX_SEGMENTS
from processors.core.time.instants import rfc3339
from processors.dev.process import free_port
from processors.dev.redis_server import EmbeddedRedis
from schemas.events import RepUpdated
from schemas.policy import DEFAULT_POLICY
from schemas.views import Partial, Segment, partial_field
from tests.board.scene import HOSTILE, NOW_US, TODAY, no_hold
from tests.board.served import ONE, Served, furnish, served, waiting
from tests.read_model.followed_view import until

Scene = Callable[[Served], Awaitable[None]]


def on_empty_board(redis_url: str, scene: Scene) -> None:
    async def run() -> None:
        async with served(redis_url) as board:
            await scene(board)

    asyncio.run(run())


def introduce(board: Served, rep_id: str, name: str, team: str) -> None:
    """Put a rep with a number and an open request of its own right into the store."""
    board.store.put_rep(rep_id, msgspec.msgpack.encode(RepUpdated(rep_id=rep_id, name=name, team=team)))
    board.store.put(ONE, "partials", partial_field("rep", rep_id, TODAY), msgspec.msgpack.encode(Partial(won=1)))


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_comes_back_as_it_is_wherever_it_stands(redis_url: str, name: str) -> None:
    async def scene(board: Served) -> None:
        introduce(board, name, name, name)
        request = msgspec.structs.replace(waiting(name, name, 5), customer_id=name, channel=name, topic=name)
        board.store.put(ONE, "open", "x", msgspec.msgpack.encode(request))
        word = quote(name, safe="")
        assert (await board.json(f"/api/v1/reps?team={word}"))["items"][0]["name"] == name
        assert (await board.json(f"/api/v1/reps/{word}"))["rep_id"] == name
        for query in (f"rep={word}", f"team={word}"):
            [item] = (await board.json(f"/api/v1/requests?{query}"))["items"]
            texts = {
                item[key] for key in ("request_id", "customer_id", "rep_id", "rep_name", "team", "channel", "topic")
            }
            assert texts == {name}
        one = await board.json(f"/api/v1/requests/{word}?customer_id={word}")
        assert one["request_id"] == name
        assert (await board.json("/api/v1/teams"))["items"][0]["team"] == name

    on_empty_board(redis_url, scene)


@pytest.mark.parametrize("path", ["reps/{}", "requests/{}", "requests?rep={}", "requests?level={}", "requests?{}=1"])
@pytest.mark.parametrize("word", ["<script>alert(1)</script>", "\r\nSet-Cookie: a=b", "أحمد", "x" * 4000])
def test_a_refusal_is_json_and_injects_no_header(redis_url: str, path: str, word: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.get("/api/v1/" + path.format(quote(word, safe=""))) as response:
            assert response.status in (200, 400, 404)
            assert response.content_type in ("application/json", "application/problem+json")
            assert "Set-Cookie" not in response.headers
            assert len(await response.text()) < 6000

    on_empty_board(redis_url, scene)


@pytest.mark.parametrize(
    "raw", ["/api/v1/reps/%FF", "/api/v1/reps?team=%ED%A0%80", "/api/v1/requests/%00", "/api/v1/%2e%2e/x"]
)
def test_bytes_that_are_no_text_are_refused(redis_url: str, raw: str) -> None:
    async def scene(board: Served) -> None:
        head, body = await raw_get(board, f"/api/v1/{raw}")
        assert head.startswith((b"HTTP/1.1 4", b"HTTP/1.1 200"))
        assert b"json" in head
        assert msgspec.json.decode(body)

    on_empty_board(redis_url, scene)


async def raw_get(board: Served, target: str) -> tuple[bytes, bytes]:
    """The head and the body of an answer to an address that a client library would mend first."""
    url = board.client.make_url("")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    async with asyncio.timeout(20):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head, body


@pytest.mark.parametrize("count", [0, 1, 501])
def test_any_number_of_reps_is_listed_in_pages(redis_url: str, count: int) -> None:
    async def scene(board: Served) -> None:
        fill(board, count)
        path, seen = "/api/v1/reps?window=7d&limit=500", list[str]()
        while path:
            page = await board.json(path)
            assert page["total"] == count
            seen += [item["rep_id"] for item in page["items"]]
            path = page["next"]
        assert seen == [f"rep-{number:05d}" for number in range(count)]
        assert sum(item["reps"] for item in (await board.json("/api/v1/teams?window=7d"))["items"]) == count

    on_empty_board(redis_url, scene)


KINDS = {f"{number:0128}": 1 for number in range(2 * MAX_FREE_KINDS)}


def test_no_answer_grows_with_the_kinds_that_a_producer_makes_up(redis_url: str) -> None:
    """Each rep has more kinds in its partial than any worker publishes; pages end before they are large."""

    async def scene(board: Served) -> None:
        for number in range(200):
            introduce(board, f"rep-{number:03}", "x", f"team-{number:03}")
            many = msgspec.msgpack.encode(Partial(activities=KINDS, won=1))
            board.store.put(ONE, "partials", partial_field("rep", f"rep-{number:03}", TODAY), many)
        for path, name in (("reps", "rep_id"), ("teams", "team")):
            following, seen = f"/api/v1/{path}?limit=500", list[str]()
            while following:
                text = await board.text(following)
                assert len(text) < 1.1 * MAX_PAGE_BYTES
                page = msgspec.json.decode(text)
                assert page["items"][0]["windows"]["7d"]["activities"]["_other"] == len(KINDS) - MAX_FREE_KINDS
                seen += [item[name] for item in page["items"]]
                following = page["next"]
            assert seen == sorted(seen)
            assert len(seen) == 200

    on_empty_board(redis_url, scene)


def test_segments_and_teams_come_in_pages(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        for number in range(500):
            introduce(board, f"rep-{number:03}", "x", f"team-{number:03}")
            board.store.put(ONE, "segments", f"s{number:03}", msgspec.msgpack.encode(Segment(1, 100, 0)))
        for path, total in (("teams", 500), ("segments", MAX_SEGMENTS + 1)):
            first = await board.json(f"/api/v1/{path}")
            assert (len(first["items"]), first["total"]) == (DEFAULT_PAGE_SIZE, total)
            following, items = first["next"], first["items"]
            while following:
                page = await board.json(following)
                items, following = [*items, *page["items"]], page["next"]
            assert len(items) == total
        assert next(item for item in items if item["segment"] == "_other")["customers"] == 500 - MAX_SEGMENTS
        page = await board.text("/leaderboards")
        assert page.count('<option value="team-') == MAX_OFFERED_TEAMS
        assert "300 more are not listed" in page
        assert '<option value="team-499" selected>' in await board.text("/leaderboards?team=team-499")

    on_empty_board(redis_url, scene)


def test_ten_thousand_reps_are_listed_within_seconds(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        fill(board, 10_000)
        began = time.perf_counter()
        first = await board.json("/api/v1/reps?limit=500")
        last = await board.json(f"/api/v1/reps?limit=500&after={encode_cursor('rep-09998')}")
        team = await board.json("/api/v1/reps?team=team-7&window=30d")
        assert (len(first["items"]), first["total"], team["total"]) == (500, 10_000, 250)
        assert [item["rep_id"] for item in last["items"]] == ["rep-09999"]
        assert last["next"] is None
        assert time.perf_counter() - began < 30

    on_empty_board(redis_url, scene)


def fill(board: Served, count: int) -> None:
    """So many reps in forty teams."""
    for number in range(count):
        introduce(board, f"rep-{number:05d}", f"Rep {number}", f"team-{number % 40}")


def test_redis_goes_away_and_comes_back(tmp_path: Path) -> None:
    port = free_port()
    first = EmbeddedRedis.start(tmp_path / "first", port)

    async def run() -> None:
        async with served(first.url) as board:
            await furnish(board)
            assert (await board.json("/api/v1/reps"))["stale_since"] is None
            first.process.kill()
            await until(lambda: board.follower.status.down_since_us)
            down_us = board.follower.status.down_since_us
            assert down_us is not None
            for path in ("reps", "reps/ann", "requests", "teams", "segments", "quality"):
                body = await board.json(f"/api/v1/{path}")
                assert body["stale_since"] == rfc3339(down_us), path
            assert (await board.json("/api/v1/requests"))["total"] == 4
            async with board.client.put("/api/v1/requests/r1/acknowledgement") as response:
                assert response.status == 503
            second = await asyncio.to_thread(EmbeddedRedis.start, tmp_path / "second", port)
            try:
                await until(lambda: board.follower.status.down_since_us is None)
                assert (await board.json("/api/v1/requests"))["total"] == 4
                await furnish(board)
                assert (await board.json("/api/v1/reps"))["stale_since"] is None
            finally:
                second.process.kill()

    asyncio.run(run())


@pytest.mark.parametrize("digits", ["9" * 5000, "0" * 5000, "0" * 4990 + "1", "9" * 21])
@pytest.mark.parametrize(
    "path",
    ["reps?limit={}", "requests?limit={}", "requests?min_age={}", "requests/r1?turn={}", "dead-letters?limit={}"],
)
def test_numbers_of_thousands_of_digits_are_refused(redis_url: str, path: str, digits: str) -> None:
    async def scene(board: Served) -> None:
        problem = await board.json(f"/api/v1/{path.format(digits)}", 400)
        assert "allowed is a whole number from" in problem["detail"]
        assert len(problem["detail"]) < 300
        assert (await board.client.get(f"/?page={digits}")).status == 200

    on_empty_board(redis_url, scene)


@pytest.mark.parametrize("path", ["reps", "requests", "dead-letters"])
def test_a_place_that_is_nested_too_deep_is_refused(redis_url: str, path: str) -> None:
    async def scene(board: Served) -> None:
        after = urlsafe_b64encode(b"[" * 3000).decode()
        assert "after" in (await board.json(f"/api/v1/{path}?after={after}", 400))["detail"]

    on_empty_board(redis_url, scene)


@pytest.mark.parametrize("name", [".", "..", "a\x00b", "two\nlines", "exe.\u202egpj"])
def test_a_rep_of_any_name_has_a_page_that_the_others_lead_to(redis_url: str, name: str) -> None:
    async def scene(board: Served) -> None:
        introduce(board, name, name, "east")
        board.store.put(ONE, "open", "x", msgspec.msgpack.encode(waiting(name, name, 5)))
        shown = await board.text("/")
        href = re.search(r'href="(/reps[^"]*)"', shown)
        assert href is not None
        card = await board.text(html.unescape(href[1]))
        title = re.search("<h1>(.*)</h1>", card)
        assert title is not None
        assert html.unescape(title[1]) == visible(name)
        assert "\u202e" not in re.sub(r'"[^"]*"', "", shown + card)
        assert "\x00" not in re.sub(r'"[^"]*"', "", shown + card)

    on_empty_board(redis_url, scene)


@pytest.mark.parametrize(
    ("crm_url", "request_id", "link"),
    [
        ("https://crm.example.com/r/{request_id}", "..", None),
        ("https://crm.example.com/r/{request_id}/x?c={customer_id}", ".", None),
        ("https://crm.example.com/r?id={request_id}", "..", "https://crm.example.com/r?id=.."),
        ("https://crm.example.com/r/{request_id}", "a/../b\n", "https://crm.example.com/r/a%2F..%2Fb%0A"),
    ],
)
def test_no_id_leads_to_another_page_of_the_crm(crm_url: str, request_id: str, link: str | None) -> None:
    store = Store(DEFAULT_POLICY, lambda: NOW_US)
    assert WaitingView(store, no_hold, crm_url).row(waiting(request_id, "ann", 5), NOW_US)["crm_url"] == link
