"""The preview: pinned, from any registry, and able to draw every kind of panel that the boards have."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click import ClickException
from click.testing import CliRunner

from grafana import build, draw
from grafana.words import LANGUAGES
from processors.dev.process import LOOPBACK, free_port
from tests.grafana.queries import BOARDS, panels
from tests.grafana.world import scraped

PREVIEW = Path(draw.__file__).with_name("preview")


def test_the_lock_file_names_no_registry() -> None:
    """Whoever installs has one of their own."""
    lock: dict[str, Any] = json.loads((PREVIEW / "package-lock.json").read_text(encoding="utf-8"))
    packages = [entry for place, entry in lock["packages"].items() if place]
    assert len(packages) > 100
    assert not [entry for entry in packages if "resolved" in entry]
    assert all(entry["integrity"] for entry in packages if not entry.get("inBundle"))


def test_every_package_is_pinned() -> None:
    """What was looked at is what is drawn with."""
    wanted: dict[str, Any] = json.loads((PREVIEW / "package.json").read_text(encoding="utf-8"))
    for version in (wanted["dependencies"] | wanted["devDependencies"]).values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)


def test_every_kind_of_panel_can_be_drawn() -> None:
    """A new kind needs a component, or a stand-in."""
    source = (PREVIEW / "src" / "panels.jsx").read_text(encoding="utf-8")
    found = re.search(r"KINDS = \{([^}]*)\}", source)
    assert found
    kinds = set(re.findall(r"(\w+):", found[1]))
    assert {panel["type"] for board in BOARDS.values() for panel in panels(board)} <= kinds


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nonsense"], "unknown: nonsense; there are team"), (["--language", "fr"], "'fr' is not one of 'en', 'zh-CN'")],
)
def test_a_wrong_word_is_refused(arguments: list[str], said: str) -> None:
    """In one line, before anything is drawn."""
    done = CliRunner().invoke(draw.main, arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_without_a_prometheus_it_says_so() -> None:
    """And how to mend it."""
    prometheus = draw.Prometheus(f"http://{LOOPBACK}:{free_port()}", minutes=5)
    with pytest.raises(ClickException, match=r"no Prometheus at .*: start one, or name it"):
        prometheus.instant("up")


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not (shutil.which("npm") and shutil.which("chromium")), reason="npm or chromium is not installed")
def test_every_board_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty directory: installed, bundled and drawn from a Prometheus, in both languages."""
    shutil.copytree(PREVIEW, tmp_path / "preview", ignore=shutil.ignore_patterns("node_modules", "dist"))
    install = ["npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"]
    for command in (install, ["npm", "run", "bundle"]):
        subprocess.run(command, cwd=tmp_path / "preview", check=True, capture_output=True)
    monkeypatch.setattr(draw, "BUNDLE", tmp_path / "preview" / "dist")
    (tmp_path / "prometheus").mkdir()
    with scraped(tmp_path / "prometheus") as address:
        for language in LANGUAGES:
            told = ["--prometheus", f"http://{address}", "--minutes", "1", "--out", str(tmp_path / "out")]
            done = CliRunner().invoke(draw.main, [*told, "--language", language])
            assert done.exit_code == 0, done.output
    pictures = sorted(path.stem for path in (tmp_path / "out").glob("*.png"))
    assert pictures == sorted(f"{board}-{language}" for board in build.BOARDS for language in LANGUAGES)
    assert all(size_of(path)[1] > 1001 for path in (tmp_path / "out").glob("*.png"))


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG file in pixels: an empty page is as high as the window."""
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return width, height
