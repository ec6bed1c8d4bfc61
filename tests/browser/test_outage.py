"""Nobody there yet, one rep, Redis away: the page says what is, keeps what it had, and goes on by itself."""

import asyncio
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from playwright.sync_api import Page, Route, expect

from config.settings import RedisSettings, Settings
from processors.dev.metrics_page import get
from processors.dev.process import free_port
from processors.dev.redis_server import EmbeddedRedis, embedded_redis
from processors.read_model.redis_connection import connect
from processors.read_model.writer import ReadModelWriter
from schemas.events import RepUpdated
from tests import story
from tests.browser.conftest import Open
from tests.browser.stage import Stage
from tests.integration.stack import board, wait_until


async def introduce(settings: Settings, rep_id: str) -> None:
    """One rep into the directory, as a worker does."""
    connection = connect(settings.redis)
    model = ReadModelWriter(connection, settings.redis.prefix)
    await model.put_reps([(RepUpdated(rep_id=rep_id, name=rep_id.title()), 1)])
    await model.close()


def test_without_reps_and_with_one_every_view_shows_it(here: Stage, open_page: Open, tmp_path: Path) -> None:
    redis = msgspec.structs.replace(here.settings.redis, prefix="nobody")
    settings = msgspec.structs.replace(here.settings, redis=redis)
    with board(settings, tmp_path) as port:
        base = f"http://127.0.0.1:{port}"
        wait_until(lambda: get(port, "/") is not None, "the board answered")
        page = open_page(f"{base}/")
        expect(page.get_by_text("Nobody is waiting.")).to_be_visible()
        for path in ("/leaderboards", "/funnel", "/quality"):
            page.goto(base + path)
            expect(page.locator("#connection")).to_have_text("● live")
        page.goto(f"{base}/leaderboards")
        expect(page.get_by_text("There is no such rep.")).to_be_visible()
        with ThreadPoolExecutor(1) as other:
            other.submit(lambda: asyncio.run(introduce(settings, "solo"))).result()
        expect(page.get_by_role("link", name="Solo")).to_be_visible()
        page.get_by_role("link", name="Solo").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Solo")
        page.goto(f"{base}/funnel?rep=solo")
        expect(page.get_by_role("heading", name="Solo")).to_be_visible()


def test_a_board_that_starts_without_redis_reports_it_and_shows_numbers_once_there_are_some(
    here: Stage, open_page: Open, tmp_path: Path, complaints: list[str], keep_picture: Callable[[Page, str], None]
) -> None:
    settings = msgspec.structs.replace(here.settings, redis=RedisSettings(url=f"redis://127.0.0.1:{free_port()}/0"))
    with board(settings, tmp_path) as port:
        wait_until(lambda: get(port, "/healthz") is not None, "the board answered")
        page = open_page(f"http://127.0.0.1:{port}/")
        expect(page.get_by_text("There are no numbers yet.")).to_be_visible()
        expect(page.get_by_role("alert")).to_contain_text(f"Redis at {settings.redis.url} does not answer")
        expect(page.get_by_text("Nobody is waiting.")).to_have_count(0)
        keep_picture(page, "waiting-redis-never-there")
        redis = EmbeddedRedis.start(tmp_path, int(settings.redis.url.rpartition(":")[2].removesuffix("/0")))
        try:
            expect(page.get_by_text("Nobody is waiting.")).to_be_visible()
            expect(page.get_by_label("Team")).to_be_visible()
        finally:
            redis.stop()
    complaints[:] = [one for one in complaints if "503" not in one]


def test_with_redis_away_the_page_shows_since_when_keeps_the_last_state_and_recovers(
    here: Stage, open_page: Open, tmp_path: Path, keep_picture: Callable[[Page, str], None]
) -> None:
    page = open_page("/?request=oldest")
    page.evaluate("window.isTheSame = true")
    wait = page.locator("tr[data-key] .wait")
    expect(wait).to_have_count(1)
    here.redis.stop()
    notice = page.get_by_role("alert").filter(has_text="The read model does not answer")
    expect(notice.locator("time")).to_have_attribute("datetime", here_and_now())
    before = wait.inner_text()
    expect(wait).not_to_have_text(before)
    keep_picture(page, "waiting-redis-away")
    here.restart_redis(tmp_path)
    expect(page.get_by_role("alert").filter(visible=True)).to_have_count(0)
    expect(wait).to_have_count(1)
    name = "oldest-too"
    here.tell(story.opened(here.minute(), "oldest", customer=name, rep_id="ann"))
    expect(page.locator("tr[data-key]")).to_have_count(2)
    assert page.evaluate("window.isTheSame")
    here.tell(story.answered(here.minute(), "ann", "oldest", customer=name))


def test_a_board_that_starts_again_leaves_open_pages_their_numbers_until_it_has_some(
    here: Stage, open_page: Open, tmp_path: Path, complaints: list[str], keep_picture: Callable[[Page, str], None]
) -> None:
    with embedded_redis(tmp_path) as redis:
        settings = msgspec.structs.replace(here.settings, redis=RedisSettings(url=redis.url))
        with ThreadPoolExecutor(1) as other, board(settings, tmp_path) as port:
            other.submit(lambda: asyncio.run(introduce(settings, "solo"))).result()
            wait_until(lambda: "Solo" in (get(port, "/leaderboards") or ""), "the board had the rep")
            page = open_page(f"http://127.0.0.1:{port}/leaderboards")
            page.evaluate("window.isTheSame = true")
        expect(page.locator("#connection")).to_have_text("○ not connected")
        redis.process.send(signal.SIGSTOP)
        with board(settings, tmp_path, port):
            expect(page.locator("#connection")).to_have_text("● live")
            notice = page.get_by_role("alert").filter(has_text="has not answered since the board started")
            expect(notice).to_be_visible()
            expect(page.get_by_role("link", name="Solo")).to_be_visible()
            keep_picture(page, "leaderboards-board-restarted-redis-away")
            redis.process.send(signal.SIGCONT)
            expect(notice).to_have_count(0)
            expect(page.get_by_role("link", name="Solo")).to_be_visible()
            assert page.evaluate("window.isTheSame")
    complaints[:] = [one for one in complaints if "/live/" not in one]


def here_and_now() -> re.Pattern[str]:
    """An instant of today, by the wall's clock."""
    return re.compile(rf"^{datetime.now(UTC):%Y-%m-%d}T")


def test_a_page_of_an_older_board_loads_itself_again(open_page: Open) -> None:
    page = open_page("/quality")
    page.evaluate("window.isTheSame = true; document.body.dataset.version = 'older'")
    with page.expect_navigation():
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Resume").click()
    expect(page.locator("#connection")).to_have_text("● live")
    assert page.evaluate("window.isTheSame === undefined")


def test_a_page_of_an_older_board_stays_while_the_same_address_has_no_page_of_the_newer(
    here: Stage, open_page: Open, complaints: list[str]
) -> None:
    address = f"{here.base}/quality"
    page = open_page(address)
    page.route(address, lambda route: route.fulfill(status=503, body="no numbers yet"))
    page.evaluate("window.isTheSame = true; document.body.dataset.version = 'older'")
    with page.expect_response(address):
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Resume").click()
    with page.expect_response(address):
        expect(page.get_by_role("heading", name="Data quality")).to_be_visible()
    assert page.evaluate("window.isTheSame")
    page.unroute(address)
    with page.expect_navigation():
        expect(page.locator("#connection")).to_have_text("● live")
    complaints[:] = [one for one in complaints if "503" not in one]


def test_a_page_of_an_older_board_interrupts_nobody_who_is_about_to_snooze(here: Stage, open_page: Open) -> None:
    address = f"{here.base}/"
    page = open_page(address)
    asked: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.is_navigation_request():
            route.continue_()
        else:
            asked.append(route)

    page.route(address, hold)
    page.evaluate("document.body.dataset.version = 'older'")
    with page.expect_request(address):
        page.get_by_role("button", name="Pause").click()
        page.get_by_role("button", name="Resume").click()
    page.get_by_role("button", name="Snooze").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    with page.expect_request(address) as again:
        asked[0].continue_()
    assert not again.value.is_navigation_request()
    page.keyboard.press("Escape")
    with page.expect_navigation():
        asked[1].continue_()
