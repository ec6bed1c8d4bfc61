"""`docs/api.md` says what the API does: addresses, settings and statuses are all there, and its examples run."""

import asyncio
import os
import re
import subprocess
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest

from config.board_settings import BoardSettings, tokens_of
from config.settings import Settings
from config.values import Secret
from processors.board.api.models import MAX_SNOOZE_SECONDS, WaitingRequest
from processors.board.api.openapi import PATH, document
from processors.board.api.query import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from processors.board.web.problems import MAX_REQUEST_BYTES
from tests.board.served import furnish, served_by

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\$ (curl .*)$", TEXT, re.MULTILINE)
WORDS = set(re.findall(r"`([^`\n]+)`", TEXT))


def test_the_page_names_every_address_and_no_other() -> None:
    named = set(re.findall(r"(/api/v1/[^\s`?']*)", TEXT.split("\n\n**Pages")[0]))
    assert named - {"/api/v1/", "/api/v1/reps/ann"} == {*document()["paths"], PATH}


def test_the_page_names_every_status_that_the_document_knows() -> None:
    table = TEXT.split("| status | |")[1].split("\n\n")[0]
    named = {int(number) for number in re.findall(r"\b[45]\d\d\b", table)}
    known = {int(code) for item in document()["paths"].values() for one in item.values() for code in one["responses"]}
    outside = {HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.MISDIRECTED_REQUEST}
    assert named == {code for code in known if code >= HTTPStatus.BAD_REQUEST} | outside


def test_the_page_names_every_setting_of_access_and_the_bounds_that_hold() -> None:
    access = set(BoardSettings.__struct_fields__) - {"host", "port", "crm_url", "shard", "tokens"}
    assert {name for name in access if name not in TEXT} == set()
    assert f"{DEFAULT_PAGE_SIZE}, at most {MAX_PAGE_SIZE}" in TEXT
    assert f"larger than {MAX_REQUEST_BYTES // 1024} KiB" in TEXT
    assert f"at most {MAX_SNOOZE_SECONDS // 86_400}\ndays" in TEXT
    assert f"`dead_letters_kept` ({BoardSettings().dead_letters_kept})" in TEXT
    assert {name for name in WaitingRequest.__struct_fields__ if name.startswith(("ack", "snooz"))} <= WORDS


def test_the_tokens_that_the_page_shows_are_read() -> None:
    text = TEXT.split("### Tokens")[1].split("```")[1]
    assert [token.name for token in tokens_of(BoardSettings(tokens=Secret(text)))] == ["ann", "grafana"]


@pytest.mark.parametrize("command", EXAMPLES)
def test_the_examples_run(topics: Settings, command: str) -> None:
    board_settings = BoardSettings(anonymous="write", tokens=Secret("ann write 0123456789abcdef"))

    async def run() -> None:
        async with served_by(msgspec.structs.replace(topics, board=board_settings)) as board:
            await furnish(board)
            address = str(board.client.make_url("")).rstrip("/")
            line = command.replace("http://127.0.0.1:8080", address).replace("curl -s", "curl -sS --fail-with-body", 1)
            env = os.environ | {"TOKEN": "0123456789abcdef"}
            done = await asyncio.to_thread(
                subprocess.run, ["sh", "-c", line], capture_output=True, text=True, env=env, timeout=60, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr

    asyncio.run(run())
