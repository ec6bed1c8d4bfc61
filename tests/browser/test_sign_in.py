"""With sign-in, the browser asks who it is; readers see no buttons, and writers act under their own name."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from playwright.sync_api import expect

from config.values import Secret
from processors.dev.scrape import get
from tests.browser.conftest import Open
from tests.browser.stage import Stage
from tests.integration.stack import board, wait_until

TOKENS = {"rita": "rita-reads-only-0123", "wim": "wim-writes-too-0123"}


@pytest.fixture
def guarded(here: Stage, tmp_path: Path) -> Iterator[str]:
    """A board beside the other one that lets in nobody whom it does not know."""
    tokens = Secret(f"rita read {TOKENS['rita']},wim write {TOKENS['wim']}")
    own = msgspec.structs.replace(here.settings.board, tokens=tokens)
    with board(msgspec.structs.replace(here.settings, board=own), tmp_path) as port:
        wait_until(lambda: get(port, "/readyz") is not None, "the board answered")
        yield f"http://127.0.0.1:{port}"


def test_a_reader_sees_no_buttons_and_a_writer_acts_under_the_own_name(guarded: str, open_page: Open) -> None:
    rita = open_page(f"{guarded}/?request=oldest", http_credentials={"username": "rita", "password": TOKENS["rita"]})
    expect(rita.locator("tr[data-key]")).to_have_count(1)
    expect(rita.get_by_role("button", name="Acknowledge")).to_have_count(0)
    wim = open_page(f"{guarded}/?request=oldest", http_credentials={"username": "wim", "password": TOKENS["wim"]})
    expect(wim.get_by_label("Your name")).to_have_count(0)
    wim.get_by_role("button", name="Acknowledge oldest").click()
    expect(rita.locator("tr[data-key]")).to_contain_text("Taken by wim")
    wim.get_by_role("button", name="Release oldest").click()
    expect(rita.locator("tr[data-key]")).not_to_contain_text("Taken by wim")
