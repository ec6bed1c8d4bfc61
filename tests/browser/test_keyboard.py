"""Everything can be done without a mouse, and updates never take the focus away."""

from playwright.sync_api import Page, expect

from tests import story
from tests.browser.conftest import Open
from tests.browser.stage import Stage

MOST_STEPS = 80


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached by {MOST_STEPS} steps of Tab")


def test_a_request_is_acknowledged_and_released_by_keys_alone(here: Stage, open_page: Open) -> None:
    page = open_page("/?rep=bob")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.evaluate("window.isTheSame = true")
    page.keyboard.press("Enter")
    tab_to(page, '[data-request="oldest"] [data-act="acknowledge"]')
    page.keyboard.press("Enter")
    release = page.get_by_role("button", name="Release oldest")
    expect(release).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Acknowledge oldest")).to_be_focused()
    assert page.evaluate("window.isTheSame")


def test_going_back_returns_to_the_earlier_choice(open_page: Open) -> None:
    page = open_page("/leaderboards?window=all")
    page.get_by_role("link", name="Amount won").press("Enter")
    expect(page.get_by_role("columnheader", name="Amount won")).to_have_attribute("aria-sort", "descending")
    page.go_back()
    expect(page.get_by_role("columnheader", name="Response time per customer")).to_have_attribute(
        "aria-sort", "ascending"
    )


def test_a_snooze_is_chosen_or_left_by_keys_and_the_focus_comes_back(open_page: Open) -> None:
    page = open_page("/?request=oldest")
    tab_to(page, '[data-act="snooze"]')
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Snooze oldest")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Snooze oldest")).to_be_focused()
    expect(page.get_by_role("button", name="Acknowledge oldest")).to_be_visible()


def test_the_focus_stays_where_it_is_while_rows_come_and_goes_to_the_next_when_its_row_goes(
    here: Stage, open_page: Open
) -> None:
    names = [f"queue-{number}" for number in range(3)]
    opened = [
        story.opened(here.minute() + place - 9, name, customer=name, rep_id="zhang") for place, name in enumerate(names)
    ]
    here.tell(*opened[1:])
    page = open_page("/?rep=zhang")
    button = page.get_by_role("button", name="Snooze queue-1")
    button.focus()
    here.tell(opened[0])
    expect(page.get_by_role("button", name="Snooze queue-0")).to_be_visible()
    expect(button).to_be_focused()
    here.tell(story.answered(here.minute(), "zhang", "queue-1", customer="queue-1"))
    expect(button).to_have_count(0)
    expect(page.get_by_role("button", name="Snooze queue-2")).to_be_focused()
    for name in (names[0], names[2]):
        here.tell(story.answered(here.minute(), "zhang", name, customer=name))
