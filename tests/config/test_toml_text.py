"""Files that are nested too deep, or have numbers of thousands of digits, are one line, wherever TOML is read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config.load_policy import load_policy
from config.settings import load_settings
from processors.ingest.mapping import load_mapping
from schemas.errors import ConfigError


def settings_of(path: Path) -> object:
    return load_settings(path, {})


@pytest.mark.parametrize("read", [load_policy, settings_of, load_mapping])
@pytest.mark.parametrize(
    "text", ["x = " + "[" * 3000, "x = " + "{a = " * 3000, "x = " + "9" * 5000, "[" + "a." * 5000 + "a]\n", "x = ["]
)
def test_it_is_told_in_one_line(tmp_path: Path, read: Callable[[Path], object], text: str) -> None:
    path = tmp_path / "some.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000
