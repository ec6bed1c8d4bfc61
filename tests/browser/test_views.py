"""Every view on every kind of screen: whole, in the viewer's words and zone, harmless whatever people are called."""

from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser.conftest import Open
from tests.browser.stage import NAMES, SCRIPT, Stage

PATHS = {
    "waiting": "/",
    "leaderboards": "/leaderboards",
    "rep": "/reps/ann",
    "funnel": "/funnel?rep=ann",
    "quality": "/quality",
}
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1366, "height": 860}
WALL: ViewportSize = {"width": 1920, "height": 1080}
AXE = {
    "resultTypes": ["violations"],
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
}


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the screen."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("name", PATHS)
def test_every_view_fits_phone_desk_and_wall_in_light_and_dark(
    name: str, open_page: Open, keep_picture: Callable[[Page, str], None]
) -> None:
    page = open_page(PATHS[name])
    for size, scheme in ((DESK, "light"), (PHONE, "dark"), (WALL, "dark")):
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        page.set_viewport_size(size)
        assert overflow(page) == 0
        keep_picture(page, f"{name}-{size['width']}-{scheme}")


@pytest.mark.parametrize("name", PATHS)
def test_every_view_is_accessible_in_light_and_dark(name: str, open_page: Open) -> None:
    page = open_page(PATHS[name])
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
        found = Axe().run(page, options=AXE)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("path", [*PATHS.values(), "/reps/script", "/?rep=<script>alert(1)</script>"])
def test_hostile_names_are_only_text(path: str, open_page: Open) -> None:
    page = open_page(path)
    assert page.locator("script:not([src])").count() == 0
    assert page.locator("main img, main script, main iframe").count() == 0


def test_every_name_is_shown_as_it_is_written(open_page: Open) -> None:
    page = open_page("/leaderboards?window=all")
    for rep_id, name in NAMES.items():
        page.get_by_role("link", name=name[:128], exact=True).click()
        expect(page.get_by_role("heading", level=1)).to_have_text(name[:128])
        expect(
            page.get_by_text(f"{SCRIPT}-{rep_id}") if rep_id not in ("ann", "bob") else page.locator("h1")
        ).to_be_visible()
        assert overflow(page) == 0
        page.go_back()
    assert page.get_by_text(SCRIPT).count() > 0


def test_times_are_in_the_viewers_zone_and_words_in_the_viewers_language(open_page: Open) -> None:
    berlin = open_page("/?request=unowned", timezone_id="Europe/Berlin")
    expect(berlin.locator("td time").first).to_have_text("30 Mar, 10:00")
    expect(berlin.locator("tr[data-key]")).to_contain_text("nobody")
    shanghai = open_page("/?request=unowned", timezone_id="Asia/Shanghai", locale="zh-CN")
    expect(shanghai.locator("td time").first).to_have_text("3月30日 16:00")
    expect(shanghai.get_by_role("heading", level=1)).to_have_text("正在等待")
    shanghai.get_by_role("link", name="English").click()
    expect(shanghai.get_by_role("heading", level=1)).to_have_text("Waiting now")


def test_leaderboards_sort_without_a_reload(open_page: Open) -> None:
    page = open_page("/leaderboards?window=all")
    page.evaluate("window.isTheSame = true")
    rows = page.locator("tr[data-key]")
    expect(rows.first).to_contain_text("Everyone")
    page.get_by_role("link", name="Amount won").click()
    expect(page.get_by_role("columnheader", name="Amount won")).to_have_attribute("aria-sort", "descending")
    best = rows.nth(1).locator("th").inner_text()
    page.get_by_role("link", name="Amount won").click()
    expect(page.get_by_role("columnheader", name="Amount won")).to_have_attribute("aria-sort", "ascending")
    expect(rows.nth(1).locator("th")).not_to_have_text(best)
    assert page.evaluate("window.isTheSame")


def test_a_rep_card_draws_the_last_days_and_lists_them_as_a_table(open_page: Open) -> None:
    page = open_page("/reps/ann")
    expect(page.locator("figure.chart canvas")).to_be_visible()
    page.get_by_text("As a table").click()
    expect(page.locator("#trend-table tbody tr")).to_have_count(30)


def test_a_funnel_is_drawn_for_a_rep_over_the_team(open_page: Open) -> None:
    page = open_page("/funnel?window=all")
    expect(page.locator("ol.funnel polygon.mine")).to_have_count(6)
    expect(page.locator("ol.funnel path.others")).to_have_count(0)
    page.get_by_label("Rep", exact=True).fill("Ann")
    expect(page.locator("ol.funnel path.others")).to_have_count(6)
    expect(page.get_by_role("heading", name="Ann Adler")).to_be_visible()


def test_a_record_that_cannot_count_appears_with_its_reason(here: Stage, open_page: Open) -> None:
    page = open_page("/quality")
    expect(page.get_by_role("heading", name="Latest dead letters")).to_be_visible()
    here.tell_raw(b'{"type": "' + SCRIPT.encode() + b'"}')
    letters = page.get_by_role("region", name="Latest dead letters")
    expect(letters.get_by_role("row").nth(1)).to_contain_text("Unknown type")
    expect(letters.get_by_role("row").nth(1)).to_contain_text(here.settings.kafka.events_topics[0])
    expect(page.get_by_role("region", name="Reasons")).to_contain_text("unknown_type")
