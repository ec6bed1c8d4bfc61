"""A request's life on an open page: it appears, ages, turns red, is taken care of, and goes, without a reload."""

from collections.abc import Callable
from urllib.parse import quote

from playwright.sync_api import Locator, Page, expect

from tests import story
from tests.browser.conftest import Open
from tests.browser.stage import SPEED, Stage


def mark(page: Page) -> None:
    """Something that a reload would wipe out."""
    page.evaluate("window.isTheSame = true")


def is_the_same(page: Page) -> bool:
    return bool(page.evaluate("window.isTheSame === true"))


def row(page: Page, request_id: str) -> Locator:
    return page.locator("tr[data-key]").filter(has=page.get_by_text(request_id, exact=True))


def red(page: Page) -> str:
    """The colour of what is late, as the browser computes it."""
    return str(
        page.evaluate(
            """() => { const one = document.createElement("i"); one.className = "nobody"; document.body.append(one);
            const colour = getComputedStyle(one).color; one.remove(); return colour; }"""
        )
    )


def test_a_request_appears_ages_turns_red_is_acknowledged_and_goes_when_answered(
    here: Stage, open_page: Open, keep_picture: Callable[[Page, str], None]
) -> None:
    page = open_page("/")
    mark(page)
    name = "newcomer"
    here.tell(story.opened(here.minute() - 30, name, customer=name, rep_id="ann", topic="pricing"))
    mine = row(page, name)
    expect(mine).to_be_visible()
    expect(mine).to_have_class("age-0")
    first_level = mine.locator("td").first
    expect(first_level).to_contain_text("min")
    expect(mine.get_by_role("link", name=name)).to_have_attribute(
        "href", f"https://crm.example.com/requests/{name}?customer={name}"
    )
    keep_picture(page, "waiting-new")

    expect(mine).to_have_class("age-1")
    expect(first_level).to_have_class("past")
    expect(first_level).to_have_css("color", red(page))
    keep_picture(page, "waiting-late")

    page.get_by_label("Your name").fill("Mia <b>")
    mine.get_by_role("button", name="Acknowledge").click()
    expect(mine).to_have_class("age-1 held")
    expect(mine).to_contain_text("Taken by Mia <b>")
    expect(page.locator("#announcement")).to_have_text(f"Acknowledged: {name}")
    keep_picture(page, "waiting-acknowledged")

    here.tell(story.answered(here.minute(), "ann", name, customer=name))
    expect(mine).to_have_count(0)
    assert is_the_same(page)


def test_a_snoozed_request_wakes_by_itself(here: Stage, open_page: Open) -> None:
    name = "sleeper"
    here.tell(story.opened(here.minute(), name, customer=name, rep_id="bob"))
    page = open_page(f"/?request={name}")
    row(page, name).get_by_role("button", name="Snooze").click()
    page.get_by_role("dialog").get_by_role("button", name="15 minutes").click()
    expect(row(page, name)).to_contain_text("Snoozed by anonymous")
    expect(row(page, name).get_by_role("button", name="Acknowledge")).to_be_visible()
    here.tell(story.answered(here.minute(), "bob", name, customer=name))


def test_a_refused_action_is_reported_and_changes_nothing(here: Stage, open_page: Open, complaints: list[str]) -> None:
    page = open_page("/?request=oldest")
    mine = row(page, "oldest")
    mine.locator("td.acts").evaluate("(cell) => { cell.dataset.turn = '9'; }")
    with page.expect_response("**/acknowledgement*") as answer:
        mine.get_by_role("button", name="Acknowledge").click()
    assert answer.value.status == 409
    expect(page.get_by_role("alert").filter(has_text="That did not work")).to_be_visible()
    expect(mine).not_to_contain_text("Taken by")
    complaints[:] = [one for one in complaints if "409" not in one]


def test_choices_hold_without_a_reload_and_stand_in_the_address(here: Stage, open_page: Open) -> None:
    page = open_page("/")
    mark(page)
    rows = page.locator("tr[data-key]")
    page.get_by_label("Rep", exact=True).fill("bob")
    expect(rows).to_have_count(1)
    expect(row(page, "oldest")).to_be_visible()
    page.get_by_label("Waiting longer than").select_option("24h")
    expect(page).to_have_url(f"{here.base}/?rep=bob&level=24h")
    expect(rows).to_have_count(1)
    page.get_by_label("Rep", exact=True).fill("ann")
    expect(page.get_by_text("Nobody is waiting.")).to_be_visible()
    assert is_the_same(page)
    again = open_page("/?rep=bob&level=24h")
    expect(again.locator("tr[data-key]")).to_have_count(1)
    expect(again.get_by_label("Rep", exact=True)).to_have_value("Bob Brown")


def test_the_countdown_runs_between_updates(here: Stage, open_page: Open) -> None:
    name = "counted"
    here.tell(story.opened(here.minute(), name, customer=name, rep_id="bob"))
    page = open_page(f"/?request={quote(name)}")
    clock = row(page, name).locator("[data-until-us]").last
    before = clock.inner_text()
    expect(clock).not_to_have_text(before)
    assert "23 h" in clock.inner_text()
    assert SPEED > 1
    here.tell(story.answered(here.minute(), "bob", name, customer=name))


def test_a_click_on_pause_stops_everything_until_the_next(here: Stage, open_page: Open) -> None:
    page = open_page("/?request=unowned")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#connection")).to_have_text("○ paused")
    before = row(page, "unowned").inner_text()
    page.wait_for_timeout(2500)
    assert row(page, "unowned").inner_text() == before
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#connection")).to_have_text("● live")
    expect(row(page, "unowned").locator(".wait")).not_to_have_text(before.split("\n")[0])
