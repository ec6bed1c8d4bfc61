"""The compiled core: whoever edits a source is told, and what cannot be compiled is not listed."""

from pathlib import Path

import pytest

from processors.dev import compiled


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A core of two modules, one of them compiled to a file of no meaning."""
    (tmp_path / "ledger.py").write_text("KEPT = 1\n", encoding="utf-8")
    (tmp_path / "report.py").write_text("SAID = 1\n", encoding="utf-8")
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    monkeypatch.setattr(compiled, "CORE", tmp_path)
    monkeypatch.setattr(compiled, "NOTE", tmp_path / "compiled.sha256")
    return tmp_path


def made(core: Path) -> None:
    (core / "ledger.cpython.so").touch()
    compiled.NOTE.write_text(compiled.fingerprint(), encoding="ascii")


def test_every_module_that_is_left_out_exists() -> None:
    assert {path.stem for path in compiled.CORE.glob("*.py")} >= compiled.INTERPRETED


def test_pure_python_is_never_stale(core: Path) -> None:
    assert not compiled.is_stale()


def test_a_change_of_a_source_is_noticed(core: Path) -> None:
    made(core)
    assert not compiled.is_stale()
    (core / "ledger.py").write_text("KEPT = 2\n", encoding="utf-8")
    assert compiled.is_stale()


def test_a_change_of_what_stays_interpreted_is_none(core: Path) -> None:
    made(core)
    (core / "report.py").write_text("SAID = 2\n", encoding="utf-8")
    assert not compiled.is_stale()


def test_files_of_unknown_origin_are_stale(core: Path) -> None:
    (core / "ledger.cpython.so").touch()
    assert compiled.is_stale()


def test_removing_leaves_the_sources(core: Path) -> None:
    made(core)
    compiled.remove()
    assert {path.name for path in core.iterdir()} == {"ledger.py", "report.py"}
