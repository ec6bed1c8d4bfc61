"""The board over HTTP, on a real Redis."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from processors.core.reports.measures import Numbers, numbers_of
from processors.core.time.instants import rfc3339
from processors.core.time.windows import WINDOWS
from processors.dev.redis_server import EmbeddedRedis
from schemas.views import Partial, Scope, partial_field, pooled_subject
from tests.board.scene import HOUR_US, NOW_US, TODAY
from tests.board.served import HOSTILE_ID, ONE, Served, furnish, served
from tests.read_model.followed_view import PREFIX, until


def on_board(redis_url: str, scene: Callable[[Served], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served(redis_url) as board:
            await furnish(board)
            await scene(board)

    asyncio.run(run())


def test_reps_have_their_numbers_in_every_window(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        body = await board.json("/api/v1/reps")
        assert [item["rep_id"] for item in body["items"]] == [HOSTILE_ID, "ann", "bob"]
        assert (body["total"], body["next"], body["currency"]) == (3, None, "USD")
        assert body["as_of"] == rfc3339(NOW_US)
        ann, bob = body["items"][1:]
        assert list(ann["windows"]) == list(WINDOWS)
        assert set(ann["windows"]["today"]) == set(Numbers.__struct_fields__)
        assert ann["windows"]["today"]["activities"] == {"call": 2}
        assert ann["windows"]["today"]["win_rate_closed"] == 0.5
        assert ann["windows"]["all"]["won_amount"] == "123.45"
        assert bob["windows"]["7d"]["responses"] == 0
        assert bob["windows"]["30d"]["responses"] == 1
        assert (ann["name"], ann["team"], ann["open_requests"], ann["active"]) == ("Ann", "east", 3, True)
        assert ann["open_opportunities"] == {"default": {"demo": 3}}

    on_board(redis_url, scene)


def test_reps_are_filtered_by_team_and_window_and_come_in_pages(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        body = await board.json("/api/v1/reps?team=east&window=7d&limit=1")
        assert [item["rep_id"] for item in body["items"]] == ["ann"]
        assert list(body["items"][0]["windows"]) == ["7d"]
        assert body["total"] == 2
        following = await board.json(body["next"])
        assert [item["rep_id"] for item in following["items"]] == ["bob"]
        assert following["next"] is None
        assert (await board.json("/api/v1/reps?team=nobody"))["items"] == []

    on_board(redis_url, scene)


def test_s25_one_rep_stands_beside_the_others_of_its_team(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        body = await board.json("/api/v1/reps/ann?window=all")
        closed = body["comparison"]["all"]["win_rate_closed"]
        assert (closed["rep"]["ratio"], closed["others"]["ratio"]) == (0.5, 1 / 30)
        assert closed["verdict"] == "above"
        assert body["comparison"]["all"]["win_rate_created"]["verdict"] is None
        assert body["comparison"]["all"]["stages"]["default"]["demo"]["others"]["ratio"] == 0.1
        assert list(body["windows"]) == ["all"]

    on_board(redis_url, scene)


def test_a_rep_with_any_id_can_be_asked_for(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        body = await board.json("/api/v1/reps/a%2Fb%20%3Cscript%3E%3F%26%25")
        assert body["rep_id"] == HOSTILE_ID
        assert body["comparison"]["all"]["win_rate_closed"]["difference"] is None

    on_board(redis_url, scene)


def test_requests_come_longest_wait_first_with_what_they_passed(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        body = await board.json("/api/v1/requests?state=open&min_age=3600")
        assert [item["request_id"] for item in body["items"]] == ["r9", "r12"]
        assert body["items"][0]["levels"] == ["1h", "24h"]
        assert body["items"][0]["waiting_seconds"] == 108_000
        assert body["items"][1]["levels"] == ["1h"]
        assert body["items"][1]["due_at"]["1h"] == rfc3339(NOW_US - 120 * 60_000_000 + HOUR_US)
        assert (body["items"][1]["rep_name"], body["items"][1]["team"]) == ("Ann", "east")

    on_board(redis_url, scene)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["r9", "r12", "r2", "r1"]),
        ("?rep=ann", ["r12", "r2", "r1"]),
        ("?team=west", ["r9"]),
        ("?level=24h", ["r9"]),
        ("?level=1h&team=east", ["r12"]),
        ("?min_age=1200", ["r9", "r12", "r2"]),
        ("?min_age=1201", ["r9", "r12"]),
    ],
)
def test_requests_are_filtered(redis_url: str, query: str, expected: list[str]) -> None:
    async def scene(board: Served) -> None:
        body = await board.json("/api/v1/requests" + query)
        assert [item["request_id"] for item in body["items"]] == expected
        assert body["total"] == len(expected)

    on_board(redis_url, scene)


def test_pages_of_requests_go_on_where_they_ended_though_one_was_answered(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        first = await board.json("/api/v1/requests?limit=2")
        assert [item["request_id"] for item in first["items"]] == ["r9", "r12"]
        board.store.put(ONE, "open", "c|12", None)
        second = await board.json(first["next"])
        assert [item["request_id"] for item in second["items"]] == ["r2", "r1"]
        assert second["next"] is None

    on_board(redis_url, scene)


def test_teams_are_sums_of_their_reps_but_customers_are_counted_once(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        body = await board.json("/api/v1/teams")
        east = next(item for item in body["items"] if item["team"] == "east")
        assert (east["reps"], east["windows"]["30d"]["responses"]) == (2, 3)
        assert east["windows"]["30d"]["customers_answered"] == 2
        assert body["company"]["windows"]["all"]["lost"] == 39
        assert body["company"]["windows"]["all"]["response_seconds_per_customer"] == 4.5
        assert [item["team"] for item in body["items"]] == ["east", "west"]

    on_board(redis_url, scene)


def test_s11_what_a_version_before_published_counts_no_customers_of_teams_until_it_is_replaced(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        rep = {partial_field("rep", "ann", TODAY): Partial(responses=3, customers_answered=2)}
        before = {
            f"team|east|{TODAY}": Partial(customers_answered=9),
            f"company||{TODAY}": Partial(customers_answered=9),
        }
        after = {
            partial_field("team", pooled_subject("east", "UTC"), TODAY): Partial(customers_answered=2),
            partial_field("company", pooled_subject("", "UTC"), TODAY): Partial(customers_answered=2),
        }
        for pooled, customers in ((before, 0), (after, 2)):
            await board.publish(ONE, partials=rep | pooled)
            assert set(board.store.fields(ONE, "partials")) == rep.keys() | (after.keys() & pooled.keys())
            subjects: tuple[tuple[Scope, str], ...] = (("team", "east"), ("company", ""))
            for scope, team in subjects:
                counted = board.store.distinct_counts(scope, team)
                assert {part.customers_answered for part in counted} == {customers}
        with redis.Redis.from_url(redis_url, decode_responses=True) as client:
            assert set(client.hkeys(f"{PREFIX}:{ONE}:partials")) == rep.keys() | after.keys()

    on_board(redis_url, scene)


def test_segments_and_quality_are_listed(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        segments = await board.json("/api/v1/segments")
        wanted = {"segment": "smb", "customers": 2, "revenue": "10.00", "cost": "0.01", "lifetime_value": "5.00"}
        assert segments["items"] == [wanted]
        quality = await board.json("/api/v1/quality")
        assert quality["windows"]["today"] == {"duplicate": 4}
        read = sum(partition["offset"] for partition in quality["partitions"])
        assert (quality["read"], quality["shares"]) == (read, {"duplicate": 4 / read})
        assert quality["examples"] == {"duplicate": "customer 'c1' & co."}
        newest = {"partition": ONE, "offset": 1, "newest_event_at": rfc3339(NOW_US - HOUR_US)}
        assert quality["partitions"][0] == newest

    on_board(redis_url, scene)


@pytest.mark.parametrize(
    "path", ["/api/v1/reps", "/api/v1/requests", "/api/v1/teams", "/api/v1/segments", "/api/v1/quality"]
)
def test_an_unchanged_answer_is_not_sent_twice(redis_url: str, path: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.get(path) as response:
            tag = response.headers["ETag"]
            assert tag.startswith('W/"')
        async with board.client.get(path, headers={"If-None-Match": f'"other", {tag}'}) as response:
            assert response.status == 304
            assert await response.read() == b""
            assert response.headers["ETag"] == tag
        async with board.client.get(path, headers={"If-None-Match": '"other"'}) as response:
            assert response.status == 200

    on_board(redis_url, scene)


def test_a_changed_answer_has_another_tag(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.get("/api/v1/requests") as response:
            tag = response.headers["ETag"]
        board.store.put(ONE, "open", "c|1", None)
        async with board.client.get("/api/v1/requests", headers={"If-None-Match": tag}) as response:
            assert response.status == 200

    on_board(redis_url, scene)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/v1/requests?state=closed", 400, "state = 'closed': allowed is one of open"),
        ("/api/v1/requests?min_age=-1", 400, "min_age = '-1': allowed is a whole number"),
        ("/api/v1/requests?min_age=1e3", 400, "min_age"),
        ("/api/v1/requests?min_age=" + "9" * 300, 400, "min_age"),
        ("/api/v1/requests?level=2h", 400, "allowed is one of 1h, 24h"),
        ("/api/v1/dead-letters?reason=foo", 400, "reason = 'foo': allowed is one of malformed, unknown_type"),
        ("/api/v1/requests?colour=red", 400, "colour = 'red': allowed is one of the parameters after, level"),
        ("/api/v1/requests?rep=a&rep=b", 400, "allowed is one value"),
        ("/api/v1/requests?rep=", 400, "1 to 128 characters"),
        ("/api/v1/requests?after=%F0%9F%98%80", 400, "after"),
        ("/api/v1/requests?after=bnVsbA==", 400, "after"),
        ("/api/v1/reps?limit=0", 400, "a whole number from 1 to 500"),
        ("/api/v1/reps?window=14d", 400, "today, 7d"),
        ("/api/v1/reps/nobody", 404, "no rep is called 'nobody'"),
        ("/api/v1/nothing", 404, "there is nothing at /api/v1/nothing"),
    ],
)
def test_an_invalid_request_is_a_problem(redis_url: str, path: str, status: int, says: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.get(path) as response:
            assert response.status == status
            assert response.content_type == "application/problem+json"
            problem = await response.json(content_type=None)
        assert problem["status"] == status
        assert says in problem["detail"]
        assert set(problem) == {"type", "title", "status", "detail", "instance"}

    on_board(redis_url, scene)


def test_a_method_that_is_not_allowed_lists_those_that_are(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.post("/api/v1/reps") as response:
            assert response.status == 405
            assert response.content_type == "application/problem+json"
            assert "GET" in response.headers["Allow"]

    on_board(redis_url, scene)


def test_a_failure_is_reported_without_its_traceback(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(board: Served) -> None:
        def fail() -> Any:
            raise RuntimeError("secret of the house")

        board.store.segments = fail  # type: ignore[method-assign]
        async with board.client.get("/api/v1/segments") as response:
            assert response.status == 500
            assert "secret" not in await response.text()

    on_board(redis_url, scene)
    assert "secret of the house" in caplog.text


@pytest.mark.parametrize("path", ["/api/v1/reps", "/metrics", "/healthz", "/nothing"])
def test_every_answer_is_guarded(redis_url: str, path: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.get(path) as response:
            policy = response.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "aiohttp" not in response.headers["Server"].lower()

    on_board(redis_url, scene)


def test_metrics_are_the_same_packed_and_plain_and_measure_the_board(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.get("/metrics", headers={"Accept-Encoding": "identity"}) as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            plain = await response.text()
        async with board.client.get("/metrics", headers={"Accept-Encoding": "gzip"}, auto_decompress=False) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            packed = gzip.decompress(await response.read()).decode()
        assert business(plain) == business(packed)
        values = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(packed)
            for sample in family.samples
        }
        assert values["crm_responses", ("rep", "ann"), ("team", "east"), ("window", "today")] == 2
        assert values["crm_rep_info", ("rep", HOSTILE_ID), ("rep_name", "<b>"), ("team", "west")] == 1
        assert values["salespulse_redis_up",] == 1
        assert values["salespulse_exposition_samples",] == packed.count('rep="')
        assert values["salespulse_exposition_seconds_count",] == 1

    on_board(redis_url, scene)


def business(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("crm_")]


def test_head_has_no_body(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.head("/metrics") as response:
            assert response.status == 200
            assert await response.read() == b""

    on_board(redis_url, scene)


def test_a_board_without_redis_lives_but_is_not_ready_and_explains_why() -> None:
    async def run() -> None:
        async with served("redis://127.0.0.1:1/0") as board:
            assert await board.json("/healthz") == {"status": "ok"}
            await until(lambda: board.follower.status.why_down)
            state = await board.json("/readyz", 503)
            assert state["status"] == "loading"
            assert "127.0.0.1:1" in state["redis"]["reason"]
            assert "salespulse_redis_up 0.0" in await board.text("/metrics")

    asyncio.run(run())


@pytest.mark.parametrize(
    "path",
    [
        "reps",
        "reps/ann",
        "requests",
        "requests/r1",
        "teams",
        "segments",
        "quality",
        "reps?window=never",
    ],
)
def test_until_the_first_reading_no_number_is_known(path: str) -> None:
    async def run() -> None:
        async with served("redis://127.0.0.1:1/0") as board:
            problem = await board.json(f"/api/v1/{path}", 503)
            assert problem["detail"].startswith("the numbers are not known yet: Redis at redis://127.0.0.1:1")
            assert (await board.json("/api/v1/me"))["may"] == ["read", "write"]
            async with board.client.put("/api/v1/requests/r1/acknowledgement") as response:
                assert response.status == 503
            board.follower.status.loaded = True
            assert (await board.json("/api/v1/reps"))["stale_since"] is not None

    asyncio.run(run())


def test_when_redis_goes_away_the_last_state_stays_and_shows_since_when(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    server = EmbeddedRedis.start(tmp_path_factory.mktemp("redis"))

    async def run() -> None:
        async with served(server.url) as board:
            await furnish(board)
            assert (await board.json("/readyz"))["redis"] == {"up": True, "down_since": None, "reason": None}
            server.process.kill()
            await until(lambda: board.follower.status.down_since_us)
            state = await board.json("/readyz")
            assert state["status"] == "ready"
            assert state["redis"]["down_since"].endswith("Z")
            assert (await board.json("/api/v1/reps"))["total"] == 3
            text = await board.text("/metrics")
            assert "salespulse_redis_up 0.0" in text
            assert 'crm_responses{rep="ann",team="east",window="today"} 2\n' in text

    asyncio.run(run())


def test_an_empty_board_answers_with_nothing_in_it(redis_url: str) -> None:
    async def run() -> None:
        async with served(redis_url) as board:
            await until(lambda: board.follower.status.loaded)
            assert (await board.json("/api/v1/reps"))["items"] == []
            assert (await board.json("/api/v1/requests"))["items"] == []
            teams = await board.json("/api/v1/teams")
            assert teams["items"] == []
            empty = numbers_of(Partial(), ("1h", "24h"), {})
            assert teams["company"]["windows"]["all"]["won_amount"] == empty.won_amount

    asyncio.run(run())


def test_an_emptied_redis_is_reported_and_numbers_stay(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        with redis.Redis.from_url(redis_url) as server:
            server.flushall()
        await until(lambda: board.follower.status.emptied)
        assert (await board.json("/readyz"))["read_model"]["emptied"] is True
        assert (await board.json("/api/v1/reps"))["total"] == 3

    on_board(redis_url, scene)


def test_the_page_of_the_data_quality_names_an_example(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        page = await board.text("/quality")
        assert "for example: <bdi>customer &#39;c1&#39; &amp; co.</bdi>" in page
        await board.publish(ONE, examples={"key_mismatch": "customer '<script>' without a key"})
        assert "<script>&#39;" not in await board.text("/quality")

    on_board(redis_url, scene)
