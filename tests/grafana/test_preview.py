"""The preview: pinned, from any registry, and able to draw every kind of panel that the boards have."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click import ClickException
from click.testing import CliRunner

from grafana import draw
from processors.dev.process import LOOPBACK, free_port
from tests.grafana.queries import BOARDS, panels

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
