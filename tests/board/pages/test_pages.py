"""The live page: says what the store holds, in two languages, and nothing that anybody typed becomes markup."""

import asyncio
import json
import re
import tomllib
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from html.parser import HTMLParser
from pathlib import Path
from shutil import copytree
from typing import Any

import msgspec
import pytest
from yarl import URL

from config.settings import load_settings
from processors.board.pages.static_files import HERE, StaticFiles
from processors.board.pages.translations import CATALOGUE, LANGUAGES, Translation
from processors.board.pages.waiting_view import WaitingView
from processors.board.state.store import Store
from processors.core.time.instants import rfc3339
from processors.read_model.acknowledgements import TurnHold, TurnKey
from schemas.errors import ConfigError, Reason
from schemas.events import RepUpdated
from schemas.policy import DEFAULT_POLICY
from schemas.views import OpenRequest, Partial, partial_field
from tests.board.scene import HOSTILE, HOUR_US, NOW_US, TODAY, no_hold
from tests.board.served import HOSTILE_ID, ONE, TWO, Served, furnish, served, waiting
from tests.read_model.followed_view import until

PAGES = ["/", "/leaderboards", "/reps/ann", "/funnel", "/funnel?rep=ann", "/quality"]
EMPTY_TAGS = {"meta", "link", "input", "br", "img"}


class Page(HTMLParser):
    """Checks that tags close, and keeps what stands in them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY_TAGS:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(" ".join(data.split()))

    def attributes(self, tag: str, name: str) -> list[str | None]:
        return [attributes[name] for kind, attributes in self.tags if kind == tag and name in attributes]


def on_board(redis_url: str, scene: Callable[[Served], Awaitable[None]]) -> None:
    async def run() -> None:
        async with served(redis_url) as board:
            await furnish(board)
            await scene(board)

    asyncio.run(run())


async def read(board: Served, path: str) -> Page:
    return Page(await board.text(path))


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_is_whole_and_has_nothing_inline(redis_url: str, path: str, language: str) -> None:
    async def scene(board: Served) -> None:
        html = await board.text(f"{path}{'&' if '?' in path else '?'}lang={language}")
        page = Page(html)
        for tag, attributes in page.tags:
            assert tag != "style"
            assert "style" not in attributes
            assert not [name for name in attributes if name.startswith("on")]
            assert tag != "script" or str(attributes["src"]).startswith("/static/")
            outside = [value for name, value in attributes.items() if name in ("href", "src") and "//" in (value or "")]
            assert outside == []
        assert page.attributes("html", "lang") == ["zh-CN" if language == "zh" else "en"]
        assert Translation("zh" if language == "zh" else "en")["leaderboards"] in page.words

    on_board(redis_url, scene)


def test_who_waits_is_listed_longest_first_and_filtered(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        keys = (await read(board, "/")).attributes("tr", "data-key")
        assert keys == ["c-r9|r9", "c-r12|r12", "c-r2|r2", "c-r1|r1"]
        assert (await read(board, "/?team=east&level=1h")).attributes("tr", "data-key") == ["c-r12|r12"]
        assert (await read(board, "/?request=r2")).attributes("tr", "data-key") == ["c-r2|r2"]
        assert "Show all waiting customers" in (await read(board, "/?request=r2")).words
        assert "This request is not waiting any more." in (await read(board, "/?request=gone")).words
        assert (await read(board, "/?rep=ann")).attributes("tr", "data-key") == keys[1:]
        words = (await read(board, "/?rep=bob")).words
        assert "Nobody is waiting." in words

    on_board(redis_url, scene)


def test_reps_are_found_by_id_or_by_a_part_of_their_name_and_holds_by_whether_there_is_one(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        ours = ["c-r12|r12", "c-r2|r2", "c-r1|r1"]
        assert (await read(board, "/?rep=AN")).attributes("tr", "data-key") == ours
        assert (await read(board, "/?rep=nobody")).attributes("tr", "data-key") == []
        held = TurnHold(by="Mia", at_us=NOW_US)
        board.acknowledgements.known = {TurnKey("c-r2", "r2", 1): held}
        assert (await read(board, "/?held=yes")).attributes("tr", "data-key") == ["c-r2|r2"]
        assert (await read(board, "/?held=no&rep=ann")).attributes("tr", "data-key") == ["c-r12|r12", "c-r1|r1"]
        assert "Mia" in (await read(board, "/?request=r2")).words

    on_board(redis_url, scene)


def test_a_wait_shows_its_length_and_the_levels_it_passed(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        page = await read(board, "/")
        assert page.attributes("tr", "class") == ["age-2 last", "age-1", "age-0", "age-0"]
        assert "1 d 6 h" in page.words
        assert "40 min" in page.words

    on_board(redis_url, scene)


def test_impossible_choices_are_the_usual_ones(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        for path in (
            "/?level=2h&page=99",
            "/?page=-1",
            "/?page=%F0%9F%98%80",
            "/leaderboards?sort=x&window=y",
            "/funnel?rep=x",
        ):
            await read(board, path)

    on_board(redis_url, scene)


@pytest.mark.parametrize(
    ("path", "word", "value"),
    [
        ("/?team=<gone>", "Team", "<gone>"),
        ("/?level=2h", "Level", "2h"),
        ("/?held=maybe", "Taken care of", "maybe"),
        ("/leaderboards?team=gone", "Team", "gone"),
        ("/leaderboards?window=8d", "Window", "8d"),
        ("/funnel?pipeline=gone", "Pipeline", "gone"),
        ("/reps/ann?window=8d", "Window", "8d"),
    ],
)
def test_a_filter_that_does_not_exist_is_reported_as_ignored(redis_url: str, path: str, word: str, value: str) -> None:
    async def scene(board: Served) -> None:
        shown = (await read(board, path)).words
        index = shown.index("Ignored, because there is no such choice:")
        assert shown[index + 1 : index + 3] == [word, value]
        for good in ("/?team=east&level=1h&held=no&window=8d", "/funnel?pipeline=default", "/leaderboards?team="):
            assert "Ignored, because there is no such choice:" not in (await read(board, good)).words

    on_board(redis_url, scene)


@pytest.mark.parametrize("path", ["/?rep=zoe", "/leaderboards?rep=zoe", "/funnel?rep=zoe", "/funnel?rep=ann&team=west"])
def test_an_unknown_rep_is_reported(redis_url: str, path: str) -> None:
    async def scene(board: Served) -> None:
        shown = (await read(board, path)).words
        assert "There is no such rep." in shown
        assert "Nobody is waiting." not in shown
        assert "There is no such rep." not in (await read(board, "/?rep=ann")).words

    on_board(redis_url, scene)


def test_leaderboards_rank_by_the_chosen_number_and_leave_open_what_chance_does(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        page = await read(board, "/leaderboards?window=all&sort=win_rate_closed")
        assert page.attributes("tr", "data-key") == ["", "ann", "bob", HOSTILE_ID]
        assert page.attributes("th", "aria-sort") == ["descending"]
        worst = await read(board, "/leaderboards?window=all&sort=win_rate_closed&order=worst")
        assert worst.attributes("tr", "data-key") == ["", "bob", "ann", HOSTILE_ID]
        assert worst.attributes("th", "aria-sort") == ["ascending"]
        page = await read(board, "/leaderboards?window=all&sort=response_per_customer")
        assert page.attributes("tr", "data-key") == ["", "bob", "ann", HOSTILE_ID]
        assert page.attributes("th", "aria-sort") == ["ascending"]

    on_board(redis_url, scene)


def test_a_rep_card_compares_with_the_others(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        page = await read(board, "/reps/ann?window=all")
        assert "above the others" in page.words
        assert "too few" in page.words
        assert "Ann" in page.words

    on_board(redis_url, scene)


def test_a_rep_that_is_not_there_is_a_page_and_404(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.get("/reps/nobody") as response:
            assert response.status == 404
            assert "There is nothing at this address" in Page(await response.text()).words

    on_board(redis_url, scene)


def test_nothing_that_anybody_typed_becomes_markup(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        reps = [RepUpdated(rep_id=f"{n} {text}"[:128], name=text, team=text) for n, text in enumerate(HOSTILE)]
        await board.model.put_reps([(rep, 2) for rep in reps])
        evil = HOSTILE[0]
        request = OpenRequest(evil, 1, evil, reps[0].rep_id, evil, evil, NOW_US - HOUR_US, {"1h": NOW_US}, evil)
        numbers = {partial_field("rep", rep.rep_id, TODAY): Partial(responses=1, activities={evil: 1}) for rep in reps}
        await board.publish(TWO, open={f"{evil}|{evil}": request}, partials=numbers, quality={str(TODAY): {evil: 1}})
        await until(lambda: len(board.store.reps.ids()) == 3 + len(reps))
        paths = ["/", "/leaderboards", "/quality", "/funnel", f"/?rep={evil}", f"/?team={evil}", f"/?request={evil}"]
        for path in paths:
            page = await read(board, path.replace("<", "%3C").replace(">", "%3E"))
            assert {str(source).rsplit("/", 1)[1] for source in page.attributes("script", "src")} == {"board.js"}
            assert len(page.attributes("script", "src")) == len([tag for tag, _ in page.tags if tag == "script"])
        page = await read(board, "/leaderboards")
        for rep in reps:
            assert " ".join(rep.name.split()) in page.words
        links = [str(link) for link in page.attributes("a", "href") if str(link).startswith("/reps/")]
        assert len(links) == 3 + len(reps)
        for link in links:
            async with board.client.get(URL(link, encoded=True)) as response:
                assert response.status == 200

    on_board(redis_url, scene)


def test_the_language_is_the_browsers_until_somebody_chooses(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        async with board.client.get("/", headers={"Accept-Language": "zh-CN,zh;q=0.9"}) as response:
            assert 'lang="zh-CN"' in await response.text()
            assert "lang" not in response.cookies
        async with board.client.get("/?lang=en", headers={"Accept-Language": "zh-CN"}) as response:
            assert response.cookies["lang"].value == "en"
            assert response.cookies["lang"]["httponly"]
        assert "Leaderboards" in (await read(board, "/")).words

    on_board(redis_url, scene)


def rows_of(view: dict[str, str]) -> list[str | None]:
    return Page(view["html"]).attributes("tr", "data-key")


def test_the_age_of_the_newest_event_is_shown_and_a_long_silence_asks_for_the_workers(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        board.walls[0] = NOW_US - HOUR_US + 29 * 60_000_000
        words = (await read(board, "/")).words
        assert "29 min" in words
        assert not [one for one in words if "are workers running?" in one]
        board.walls[0] += 2 * 60_000_000
        assert [one for one in (await read(board, "/")).words if "are workers running?" in one]

    on_board(redis_url, scene)


async def identity(response: Any) -> str:
    """The next event's id."""
    while True:
        line = (await response.content.readline()).decode().strip()
        if line.startswith("id: "):
            return str(line.removeprefix("id: "))


async def events(response: Any) -> Any:
    """The next view's or change's data."""
    while True:
        line = (await response.content.readline()).decode()
        if line.startswith("data: {"):
            return json.loads(line.removeprefix("data: "))


def test_news_are_sent_when_something_changes_and_only_then(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        async with asyncio.timeout(20), board.client.get("/live/waiting?team=east") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            first = await events(response)
            assert rows_of(first) == ["c-r12|r12", "c-r2|r2", "c-r1|r1"]
            assert first["now_us"] == NOW_US
            following = asyncio.create_task(events(response))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(following), 2.5)
            board.store.put(ONE, "open", "c|12", None)
            news = await following
            assert news["rows"] == {"rows": {"gone": ["c-r12|r12"], "put": []}}
            assert news["parts"].keys() == {"tiles", "foot"}

    on_board(redis_url, scene)


def test_who_comes_again_is_sent_nothing_that_it_has(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        async with asyncio.timeout(20), board.client.get("/live/waiting?team=east") as response:
            tag = await identity(response)
        again = {"Last-Event-ID": tag}
        async with asyncio.timeout(20), board.client.get("/live/waiting?team=east", headers=again) as response:
            following = asyncio.create_task(events(response))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(following), 2.5)
            board.store.put(ONE, "open", "c|12", None)
            assert (await following)["rows"] == {"rows": {"gone": ["c-r12|r12"], "put": []}}

    on_board(redis_url, scene)


def test_a_stream_begins_with_the_version_of_the_board(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        [version] = (await read(board, "/")).attributes("body", "data-version")
        async with asyncio.timeout(20), board.client.get("/live/waiting") as response:
            lines = [(await response.content.readline()).decode().strip() for _ in range(2)]
        assert lines == ["event: version", f"data: {version}"]

    on_board(redis_url, scene)


def test_a_running_clock_alone_is_no_news_but_a_passed_level_is(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        await board.publish(TWO, open={"x|1": waiting("r77", "ann", 59)})
        async with asyncio.timeout(30), board.client.get("/live/waiting?request=r77") as response:
            assert "age-0" in (await events(response))["html"]
            board.walls[0] += 30_000_000
            following = asyncio.create_task(events(response))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(following), 6.5)
            board.walls[0] += 31_000_000
            [[key, after, html, cells]] = (await following)["rows"]["rows"]["put"]
            assert (key, after, cells) == ("c-r77|r77", None, {})
            assert "age-1" in html

    on_board(redis_url, scene)


@pytest.mark.parametrize("path", PAGES)
def test_until_the_first_load_a_page_explains_why_there_are_no_numbers(path: str) -> None:
    async def run() -> None:
        async with served("redis://127.0.0.1:1/0") as board, board.client.get(path) as response:
            assert response.status == 503
            page = Page(await response.text())
            assert "There are no numbers yet." in page.words
            assert any(word.startswith("Redis at redis://127.0.0.1:1") for word in page.words)
            assert "Nobody is waiting." not in page.words
            assert page.attributes("table", "class") == []

    asyncio.run(run())


def test_until_the_first_reading_a_stream_tells_only_why_and_leaves_a_page_the_numbers_that_it_has() -> None:
    async def run() -> None:
        async with served("redis://127.0.0.1:1/0") as board:
            shown = {"Last-Event-ID": "what an earlier board sent"}
            async with asyncio.timeout(20), board.client.get("/live/rep?rep=ann", headers=shown) as response:
                name, news = await named(response)
                assert name == "change"
                assert list(json.loads(news)["parts"]) == ["notification"]
                assert "Redis at redis://127.0.0.1:1" in json.loads(news)["parts"]["notification"]
                board.follower.status.loaded = True
                [here] = (await read(board, "/")).attributes("body", "data-version")
                assert await named(response) == ("version", here)
                assert (await named(response))[0] == "view"

    asyncio.run(run())


def test_a_page_without_numbers_is_of_no_version_and_so_loads_itself_again_once_there_are_some() -> None:
    async def run() -> None:
        async with served("redis://127.0.0.1:1/0") as board, board.client.get("/reps/ann") as response:
            assert Page(await response.text()).attributes("body", "data-version") == [""]

    asyncio.run(run())


def test_with_redis_away_a_page_shows_since_when_and_why(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        board.follower.status.down_since_us, board.follower.status.why_down = NOW_US - HOUR_US, "Redis: <refused>"
        page = await read(board, "/")
        assert rfc3339(NOW_US - HOUR_US) in page.attributes("time", "datetime")
        assert "Redis: <refused>" in page.words

    on_board(redis_url, scene)


async def named(response: Any) -> tuple[str, str]:
    """The next event: its name and what it says."""
    event: dict[str, str] = {}
    while "data" not in event:
        field, _, value = (await response.content.readline()).decode().rstrip("\n").partition(": ")
        event[field] = value
    return event["event"], event["data"]


def test_a_view_that_is_not_there_and_a_file_that_is_not_there_are_problems(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        assert "nothing-like-it" in (await board.json("/live/nothing-like-it", 404))["detail"]
        assert "pages.py" in (await board.json("/static/0/pages.py", 404))["detail"]
        assert (await board.json("/static/0/..%2Fpages.py", 404))["status"] == 404

    on_board(redis_url, scene)


def test_files_are_kept_by_browsers_for_good_as_their_addresses_change_with_them(redis_url: str) -> None:
    async def scene(board: Served) -> None:
        page = await read(board, "/reps/ann")
        addresses = [*page.attributes("script", "src"), *page.attributes("link", "href")]
        assert len(addresses) == 5
        for address in addresses:
            async with board.client.get(address) as response:
                assert response.status == 200
                assert "immutable" in response.headers["Cache-Control"]
                assert response.content_type in ("text/css", "text/javascript", "image/svg+xml")
        async with board.client.get("/static/another/board.js") as response:
            assert "immutable" not in response.headers["Cache-Control"]

    on_board(redis_url, scene)


@pytest.mark.parametrize("name", ["static/board.js", "templates/base.html", "translations.toml"])
def test_a_page_is_of_another_version_when_anything_changes_that_it_is_made_of(tmp_path: Path, name: str) -> None:
    here = copytree(HERE, tmp_path / "board")
    before = StaticFiles(here)
    with (here / name).open("ab") as file:
        file.write(b"\n")
    assert StaticFiles(here).pages_version != before.pages_version
    assert (StaticFiles(here).url("board.js") != before.url("board.js")) == name.startswith("static/")


def test_a_stop_ends_open_streams_at_once(redis_url: str) -> None:
    async def run() -> None:
        async with asyncio.timeout(4), served(redis_url) as board:
            response = await board.client.get("/live/quality")
            await events(response)

    asyncio.run(run())


def test_every_word_is_in_both_languages_and_used_and_none_is_missing() -> None:
    catalogue: dict[str, list[str]] = tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))
    assert all(len(words) == 2 and all(words) for words in catalogue.values())
    texts = [path.read_text() for path in [*HERE.glob("templates/*.html"), *HERE.glob("*.py")]]
    used = {key for text in texts for key in re.findall(r'"([a-z_]+)"', text)}
    named = {key for text in texts for key in re.findall(r'words\["([a-z_]+)"\]', text)}
    assert named <= catalogue.keys()
    composed = {"above", "below", "alike", "few", "held_no", "held_yes", "window_all", "window_today"}
    composed |= {f"reason_{reason}" for reason in Reason} | {f"priority_{name}" for name in ("low", "high", "urgent")}
    assert catalogue.keys() <= used | composed
    assert composed <= catalogue.keys()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3725, "1 h 2 min"),
        (3605, "1 h 5 s"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float | None, text: str) -> None:
    assert Translation("en").span(seconds) == text


def test_a_reader_that_leaves_is_no_failure(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(board: Served) -> None:
        response = await board.client.get("/live/waiting")
        await events(response)
        response.close()
        for number in range(3):
            board.store.put(ONE, "open", f"new|{number}", msgspec.msgpack.encode(waiting(f"n{number}", "ann", 5)))
            await asyncio.sleep(1.1)

    on_board(redis_url, scene)
    assert caplog.records == []


def test_a_link_to_the_crm_is_filled_in_and_encoded() -> None:
    view = WaitingView(
        Store(DEFAULT_POLICY, lambda: NOW_US),
        no_hold,
        "https://crm.example.com/r/{request_id}?c={customer_id}&r={rep_id}",
    )
    one = OpenRequest("a/b?{customer_id}", 1, "c&d", "张", "email", "normal", NOW_US)
    assert view.row(one, NOW_US)["crm_url"] == (
        "https://crm.example.com/r/a%2Fb%3F%7Bcustomer_id%7D?c=c%26d&r=%E5%BC%A0"
    )
    assert WaitingView(Store(DEFAULT_POLICY, lambda: NOW_US), no_hold, None).row(one, NOW_US)["crm_url"] is None


@pytest.mark.parametrize(
    ("url", "is_allowed"),
    [
        ("https://crm.example.com/requests/{request_id}", True),
        ("http://crm/?c={customer_id}&r={rep_id}", True),
        ("javascript:alert({request_id})", False),
        ("https://crm.example.com/", False),
        ("https://{request_id}.example.com/", False),
        ("https://crm.{request_id}.example.com/", False),
        ("https://crm.example.com/{name}", False),
    ],
)
def test_only_addresses_of_the_web_are_taken_as_the_crms(url: str, *, is_allowed: bool) -> None:
    with nullcontext() if is_allowed else pytest.raises(ConfigError, match=r"BOARD__CRM_URL.*after the host"):
        assert load_settings(None, {"SALESPULSE_BOARD__CRM_URL": url}).board.crm_url == url
