"""With tokens, a browser asks for a name and a password once, and everything on the page goes on under that name."""

from pathlib import Path

import msgspec
from playwright.sync_api import expect

from config.board_settings import BoardSettings
from config.values import Secret
from processors.dev.metrics_page import get
from tests.browser.conftest import Open
from tests.browser.stage import Stage
from tests.integration.stack import board, wait_until

READER, WRITER = "reader-0123456789", "writer-0123456789"


def test_a_token_is_the_password_and_its_name_is_who_acknowledges(here: Stage, open_page: Open, tmp_path: Path) -> None:
    guarded = BoardSettings(tokens=Secret(f"carol write {WRITER},dan read {READER}"))
    with board(msgspec.structs.replace(here.settings, board=guarded), tmp_path) as port:
        wait_until(lambda: get(port, "/readyz") is not None, "the board was ready")
        address = f"http://127.0.0.1:{port}/?request=oldest"
        page = open_page(address, http_credentials={"username": "anything", "password": WRITER})
        page.evaluate("localStorage.setItem('salespulse.by', 'somebody else')")
        page.reload()
        mine = page.locator("tr[data-key]")
        expect(page.locator("#connection")).to_have_text("● live")
        expect(page.get_by_label("Your name")).to_be_hidden()
        mine.get_by_role("button", name="Acknowledge").click()
        expect(mine).to_contain_text("Taken by carol")
        reading = open_page(address, http_credentials={"username": "dan", "password": READER})
        expect(reading.locator("tr[data-key]")).to_contain_text("Taken by carol")
        expect(reading.locator("tr[data-key]").get_by_role("button", name="Release")).to_be_hidden()
        mine.get_by_role("button", name="Release").click()
        expect(reading.locator("tr[data-key]")).not_to_contain_text("Taken by")
