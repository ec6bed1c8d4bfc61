"""A directory in which no worker could write is an error before one begins."""

from pathlib import Path

import pytest

from config.data_dir import require_data_dir
from schemas.errors import ConfigError


def test_a_directory_that_is_there_and_a_new_one_below_it_are_fine_and_stay_as_they_are(tmp_path: Path) -> None:
    require_data_dir(tmp_path)
    require_data_dir(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/below", "missing/below"])
def test_a_file_and_a_name_below_what_is_not_there_are_told_in_one_line_with_the_mend(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=rf"^worker\.data_dir = .*/{name}: .*; allowed: a directory in which .*$"):
        require_data_dir(tmp_path / name)


def test_a_directory_that_nobody_may_write_in_is_told() -> None:
    with pytest.raises(ConfigError, match=r"^worker\.data_dir = /proc: "):  # not even root may
        require_data_dir(Path("/proc"))
