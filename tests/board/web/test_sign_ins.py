"""Guesses are slowed down by address, and who signed in or failed to is logged without the token."""

import logging
from pathlib import Path

import pytest

from config.board_settings import BoardSettings
from config.settings import exposed_files, load_settings
from processors.board.web.sign_ins import MAX_ADDRESSES, MAX_FAILURES, WINDOW_SECONDS, SignIns
from tests.board.served import Served
from tests.board.web.test_access import READER, TOKENS, WRITER, bearer, on_board, reply, status

GOOD, OTHER = b"good", b"other"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_that_guesses_waits_for_the_rest_of_a_minute_and_others_do_not() -> None:
    clock = Clock()
    sign_ins = SignIns(clock)
    for _ in range(MAX_FAILURES):
        assert sign_ins.wait_seconds("a", GOOD) == 0
        sign_ins.failed("a")
    clock.now += 20
    assert sign_ins.wait_seconds("a", GOOD) == WINDOW_SECONDS - 20
    assert sign_ins.wait_seconds("b", GOOD) == 0
    clock.now += 40
    assert sign_ins.wait_seconds("a", GOOD) == 0


def test_a_token_that_was_good_from_there_stays_good_while_others_guess() -> None:
    sign_ins = SignIns(Clock())
    sign_ins.succeeded("a", GOOD, "ann", "write")
    for _ in range(MAX_FAILURES):
        sign_ins.failed("a")
    assert sign_ins.wait_seconds("a", GOOD) == 0
    assert sign_ins.wait_seconds("a", OTHER) > 0
    assert sign_ins.wait_seconds("b", GOOD) == 0


def test_what_is_remembered_has_a_bound() -> None:
    sign_ins = SignIns(Clock())
    for number in range(MAX_ADDRESSES + 5):
        sign_ins.failed(str(number))
        sign_ins.succeeded(str(number), GOOD, "ann", "read")
    assert len(sign_ins._failures) == len(sign_ins._known) == MAX_ADDRESSES


def test_guesses_at_a_board_are_slowed_down_and_logged_once(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(board: Served) -> None:
        assert await status(board, "/api/v1/me", Authorization=bearer(READER)) == 200
        for number in range(MAX_FAILURES):
            assert await status(board, "/api/v1/me", Authorization=bearer(f"guess-{number}-0123456789")) == 401
        code, problem = await reply(board, "/api/v1/me", Authorization=bearer(WRITER))
        assert code == 429
        assert "try again in" in problem["detail"]
        assert await status(board, "/api/v1/me", Authorization=bearer(READER)) == 200
        assert await status(board, "/healthz") == 200

    with caplog.at_level(logging.INFO):
        on_board(redis_url, BoardSettings(tokens=TOKENS), scene)
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("sign_ins")]
    assert lines == [
        "grafana signed in from 127.0.0.1 and may read",
        "sign-in from 127.0.0.1 refused: its token is not known",
        f"{MAX_FAILURES} sign-ins from 127.0.0.1 refused within a minute: it has to wait",
    ]
    assert READER not in caplog.text
    assert "0123456789" not in caplog.text


@pytest.mark.parametrize(("mode", "is_reported"), [(0o600, False), (0o400, False), (0o640, True), (0o644, True)])
def test_a_secret_file_that_others_may_read_is_reported(tmp_path: Path, mode: int, is_reported: bool) -> None:
    path = tmp_path / "tokens"
    path.write_text("ann write 0123456789abcdef\n", encoding="utf-8")
    path.chmod(mode)
    settings = load_settings(None, {"SALESPULSE_BOARD__TOKENS_FILE": str(path)})
    lines = list(exposed_files(settings))
    assert lines == [f"board.tokens_file = {path}: others may read it (mode {mode:o}): chmod 600"] * is_reported


@pytest.mark.parametrize(("host", "code"), [("board.example.com", 200), ("pulse.corp", 200), ("rebound.evil.com", 421)])
@pytest.mark.parametrize("anonymous", ["read", "write"])
def test_a_board_that_is_open_to_a_network_answers_to_its_own_names_only(
    redis_url: str, anonymous: str, host: str, code: int
) -> None:
    async def scene(board: Served) -> None:
        assert await status(board, "/api/v1/requests", Host=host) == code
        assert await status(board, "/", Host=host) == code
        assert await status(board, "/metrics", Host="172.18.0.5:8080") == 200
        assert await status(board, "/healthz", Host=host) == 200

    settings = {"read": BoardSettings(host="0.0.0.0", anonymous="read", hosts=("Pulse.corp",))}  # noqa: S104
    settings["write"] = BoardSettings(host="0.0.0.0", anonymous="write", hosts=("pulse.corp",))  # noqa: S104
    on_board(redis_url, settings[anonymous], scene)
