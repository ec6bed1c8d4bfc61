"""Who may do what on the board is set, and a board is not left open to a network by accident."""

from pathlib import Path

import pytest

from config.board_settings import BoardSettings, anonymous_role, digest_of, is_loopback, tokens_of
from config.settings import as_environment, load_settings
from config.values import Secret
from schemas.errors import ConfigError

TOKENS = "# of the house, and others\nann write 0123456789abcdef\n\n grafana  read  fedcba9876543210 \n"


def test_tokens_come_from_a_file_and_are_kept_as_digests(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(TOKENS, encoding="utf-8")
    settings = load_settings(None, {"SALESPULSE_BOARD__TOKENS_FILE": str(path)})
    ann, grafana = tokens_of(settings.board)
    assert (ann.name, ann.role, ann.digest) == ("ann", "write", digest_of("0123456789abcdef"))
    assert (grafana.name, grafana.role) == ("grafana", "read")
    assert load_settings(None, as_environment(settings)) == settings
    assert "0123456789abcdef" not in repr(settings) + repr(ann)


def test_tokens_come_from_the_environment() -> None:
    settings = load_settings(None, {"SALESPULSE_BOARD__TOKENS": "a read 0123456789abcdef,b write fedcba9876543210"})
    assert [(token.name, token.role) for token in tokens_of(settings.board)] == [("a", "read"), ("b", "write")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ann write 0123456789abcde", "entry 1: does not fit; allowed: `name role token`"),
        ("# x\nann admin 0123456789abcdef", "entry 1"),
        ("ann 0123456789abcdef", "entry 1"),
        ("# nobody", "at least one line"),
        ("a read 0123456789abcdef\nb write 0123456789abcdef", "of one name only"),
    ],
)
def test_a_wrong_token_is_reported_without_showing_it(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        load_settings(None, {"SALESPULSE_BOARD__TOKENS": text})
    assert "0123456789abcde" not in str(caught.value)


@pytest.mark.parametrize(
    ("board", "role"),
    [
        (BoardSettings(), "write"),
        (BoardSettings(host="localhost"), "write"),
        (BoardSettings(host="::1", anonymous="read"), "read"),
        (BoardSettings(anonymous="nothing"), None),
        (BoardSettings(tokens=Secret("a read 0123456789abcdef")), None),
        (BoardSettings(host="0.0.0.0", user_header="X-User"), None),  # noqa: S104 -- what the test is about
        (BoardSettings(host="0.0.0.0", anonymous="read"), "read"),  # noqa: S104
        (BoardSettings(user_header="X-User", anonymous="read"), "read"),
    ],
)
def test_what_may_be_done_without_signing_in(board: BoardSettings, role: str | None) -> None:
    assert anonymous_role(board) == role


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "board.example.com"])  # noqa: S104
def test_a_board_beyond_this_machine_must_say_who_may_do_what(host: str) -> None:
    with pytest.raises(ConfigError, match=r"board\.host = .*tokens_file.*board\.anonymous"):
        anonymous_role(BoardSettings(host=host))


@pytest.mark.parametrize(
    ("host", "own"), [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("localhost.evil.com", False)]
)
def test_what_this_machine_is(host: str, own: bool) -> None:
    assert is_loopback(host) == own


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "has host bits set"),
        ({"TRUSTED_PROXIES": "proxy.example.com"}, "addresses or networks"),
        ({"USER_HEADER": "X User"}, "the name of a header"),
        ({"ANONYMOUS": "admin"}, "one of nothing, read, write"),
        ({"DEAD_LETTERS_KEPT": "10001"}, "from 0"),
    ],
)
def test_other_mistakes_are_reported(env: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_settings(None, {f"SALESPULSE_BOARD__{name}": value for name, value in env.items()})


def test_a_header_without_anyone_to_believe_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "salespulse.toml"
    path.write_text('[board]\nuser_header = "X-User"\ntrusted_proxies = []\n', encoding="utf-8")
    with pytest.raises(ConfigError, match="the proxies that may set"):
        load_settings(path, {})
