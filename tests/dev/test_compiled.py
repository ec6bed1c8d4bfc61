"""The compiled core: an edited source is noticed, and all that events pass through is compiled."""

from pathlib import Path

import pytest

from processors.dev import compiled


@pytest.fixture
def core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A core of two modules, one of them compiled to a file of no meaning."""
    for room, module in (("ledger", "ledger.py"), ("reports", "report.py")):
        (tmp_path / room).mkdir()
        (tmp_path / room / module).write_text("VERSION = 1\n", encoding="utf-8")
    monkeypatch.setattr(compiled, "ROOT", tmp_path)
    monkeypatch.setattr(compiled, "CORE", tmp_path)
    monkeypatch.setattr(compiled, "NOTE", tmp_path / "compiled.sha256")
    return tmp_path


def made(core: Path) -> None:
    (core / "ledger" / "ledger.cpython.so").touch()
    compiled.NOTE.write_text(compiled.fingerprint(), encoding="ascii")


def test_every_room_that_is_compiled_exists_and_the_others_are_the_reports() -> None:
    rooms = {path.parent.name for path in compiled.CORE.glob("*/__init__.py")}
    assert rooms == {*compiled.COMPILED_ROOMS, "reports"}


def test_pure_python_is_never_stale(core: Path) -> None:
    assert not compiled.is_stale()


def test_a_change_of_a_source_is_noticed(core: Path) -> None:
    made(core)
    assert not compiled.is_stale()
    (core / "ledger" / "ledger.py").write_text("VERSION = 2\n", encoding="utf-8")
    assert compiled.is_stale()


def test_a_change_of_what_stays_interpreted_is_none(core: Path) -> None:
    made(core)
    (core / "reports" / "report.py").write_text("VERSION = 2\n", encoding="utf-8")
    assert not compiled.is_stale()


def test_files_of_unknown_origin_are_stale(core: Path) -> None:
    (core / "ledger" / "ledger.cpython.so").touch()
    assert compiled.is_stale()


def test_removing_leaves_the_sources(core: Path) -> None:
    made(core)
    compiled.remove()
    assert {path.relative_to(core).as_posix() for path in core.rglob("*.*")} == {
        "ledger/ledger.py",
        "reports/report.py",
    }
