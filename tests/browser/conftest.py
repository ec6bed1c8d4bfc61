"""What browser tests share: one Chromium, one running installation, and pages that fail a test by any complaint."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from config.settings import Settings
from tests.browser.stage import Stage, stage
from tests.topics import kafka_under, notifier_under

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PICTURES = Path(__file__).parents[2] / "build" / "screenshots"
PATIENCE_MS = 60_000
"""A loaded machine may be slow."""

Open = Callable[..., Page]
"""Opens a page of the board: a path, and options of the browser's context."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is of the kind `browser`."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium from PATH, or from SALESPULSE_TEST_CHROMIUM.

    Not for the whole run: while Playwright runs, no other event loop can run in this thread, and other tests need one.
    """
    program = os.environ.get("SALESPULSE_TEST_CHROMIUM") or shutil.which("chromium")
    if program is None:
        pytest.fail("no chromium on PATH: install it, or name it in SALESPULSE_TEST_CHROMIUM", pytrace=False)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def here(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The installation that all browser tests look at."""
    name = "browser"
    settings = Settings(
        kafka=kafka_under(name, broker),
        notifier=notifier_under(name),
    )
    with stage(settings, tmp_path_factory.mktemp("stage")) as running:
        yield running


@pytest.fixture
def complaints() -> list[str]:
    """What pages complained of. A test that provokes a complaint takes it out."""
    return []


@pytest.fixture
def open_page(chromium: Browser, here: Stage, complaints: list[str]) -> Iterator[Open]:
    """Opens pages, and fails the test when one of them logs an error, asks anything, or raises."""
    contexts: list[BrowserContext] = []

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{message.text} ({message.location.get('url')})")

    def open_one(path: str, **options: object) -> Page:
        context = chromium.new_context(**({"locale": "en-GB", "timezone_id": "Europe/Berlin"} | options))  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        page.goto(path if "://" in path else here.base + path)
        expect(page.locator("#connection")).to_contain_text("●")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def keep_picture(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """Keeps a picture of a page among the artefacts of the build."""

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=PICTURES / f"{name}.png")

    return keep
