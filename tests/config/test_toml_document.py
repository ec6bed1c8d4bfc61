"""Settings, policies and mappings are read by one reader, and every mistake is one line of one grammar."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from config.load_policy import load_policy
from config.settings import HERE, load_settings
from processors.ingest.mapping import load_mapping
from schemas.errors import ConfigError

MAPPING = HERE / "mappings" / "maven-crm.toml"
ODD = (
    "-1",
    "1e400",
    "nan",
    "9223372036854775808",
    '""',
    '"\\u0000"',
    '"x y"',
    "true",
    "[]",
    "{}",
    "[[1]]",
    "2026-01-01",
)


def settings_of(path: Path) -> object:
    return load_settings(path, {})


def mistake(read: Callable[[Path], object], path: Path, text: str) -> str | None:
    """The error about a text, if it is wrong."""
    path.write_text(text, encoding="utf-8")
    try:
        read(path)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("read", [load_policy, settings_of, load_mapping])
@pytest.mark.parametrize(
    "text", ["x = " + "[" * 3000, "x = " + "{a = " * 3000, "x = " + "9" * 5000, "[" + "a." * 5000 + "a]\n", "x = ["]
)
def test_it_is_one_line_of_error(tmp_path: Path, read: Callable[[Path], object], text: str) -> None:
    path = tmp_path / "some.toml"
    found = mistake(read, path, text)
    assert found is not None
    assert str(path) in found
    assert len(found.splitlines()) == 1
    assert len(found) < 1000


@pytest.mark.parametrize(
    ("read", "source"), [(settings_of, HERE / "default.toml"), (load_mapping, MAPPING)], ids=["settings", "mapping"]
)
@pytest.mark.parametrize("value", ODD)
def test_an_odd_value_of_any_key_is_one_line_with_file_line_key_value_and_what_is_allowed(
    tmp_path: Path, read: Callable[[Path], object], source: Path, value: str
) -> None:
    path = tmp_path / "odd.toml"
    lines = source.read_text(encoding="utf-8").splitlines()
    keys = [n for n, line in enumerate(lines) if " = " in line and not line.startswith("#")]
    texts = ["\n".join([*lines[:n], f"{lines[n].split(' = ')[0]} = {value}", *lines[n + 1 :]]) for n in keys]
    found = [message for message in (mistake(read, path, text) for text in texts) if message is not None]
    grammar = re.compile(rf"{re.escape(str(path))}:\d+: \S+( = .+)?: .+; allowed: .+")
    assert found
    assert [message for message in found if not grammar.fullmatch(message)] == []


@pytest.mark.parametrize(
    "text", ['[redis]\npasword = "hunter2"', 'password = "hunter2"', '[notifier.slack]\nx = "hunter2"']
)
def test_a_secret_under_a_wrong_key_is_not_shown(tmp_path: Path, text: str) -> None:
    found = mistake(settings_of, tmp_path / "salespulse.toml", text)
    assert found is not None
    assert "hunter2" not in found


def test_a_setting_that_does_not_fit_another_is_reported_where_its_value_comes_from(tmp_path: Path) -> None:
    path = tmp_path / "salespulse.toml"
    path.write_text('[kafka]\ngroup = "g"\n\n[board]\nshard = "4/4"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"^{re.escape(str(path))}:5: board\.shard = 4/4: does not fit; allowed: "):
        load_settings(path, {})
    with pytest.raises(ConfigError, match=r"^environment: board\.shard = 5/5: does not fit; allowed: "):
        load_settings(path, {"SALESPULSE_BOARD__SHARD": "5/5"})
