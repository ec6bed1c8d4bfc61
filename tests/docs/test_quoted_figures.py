"""Figures that the decisions quote are those of the code and the settings."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings

ROOT = Path(__file__).parents[2]
SOURCES = [path for package in ("processors", "schemas", "config") for path in sorted((ROOT / package).rglob("*.py"))]
DEFAULTS = Settings()
ASSIGNED = [
    (path, match[1])
    for path in SOURCES
    for match in re.finditer(r"^([A-Z][A-Z_]+)(?:: .+?)? = ", path.read_text(encoding="utf-8"), re.MULTILINE)
]
"""Every constant of the source, with its file."""
KIB, MIB = 1024, 1024 * 1024


def constants(pattern: str) -> list[Any]:
    """The values of every constant of the source whose name fits the pattern."""
    found = []
    for path, name in ASSIGNED:
        if re.fullmatch(pattern, name):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found.append(getattr(importlib.import_module(module), name))
    return found


def quoted(number: str) -> str:
    """The text of a decision, without line breaks."""
    [page] = (ROOT / "docs" / "decisions").glob(f"{number}-*.md")
    return re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("decision", "phrase", "name", "value"),
    [
        ("0001", "segments of up to 256 KiB", "(MAX_)?SEGMENT_BYTES", 256 * KIB),
        ("0001", "until that has 64 KiB", "(MAX_)?TAIL_BYTES", 64 * KIB),
        ("0001", "fewer than a quarter", "LIVE_SHARE", 4),
        ("0012", "the last 100,000 that ended", "MAX_ENDED_REMEMBERED|REMEMBERED_ENDED", 100_000),
        ("0019", "when 8 MiB were opened", "(MAX_)?PORTION_BYTES", 8 * MIB),
        ("0019", "bodies of up to 1 MiB", "(MAX_)?NATIVE_BYTES", MIB),
        ("0022", "two thirds of a group session", "LEASE_SHARE", 2 / 3),
        ("0022", "within a third of a session", "SEND_SHARE", 1 / 3),
        ("0023", "the first 20 others", "MAX_FREE_KINDS", 20),
        ("0023", "the first 200 in alphabetical order", "MAX_TEAMS", 200),
        ("0024", "at most 400 days ago", "MAX_DAYS", 400),
    ],
)
def test_a_decision_quotes_the_constant(decision: str, phrase: str, name: str, value: float) -> None:
    assert phrase in quoted(decision)
    assert constants(name)
    assert set(constants(name)) == {value}


@pytest.mark.parametrize(
    ("decision", "phrase", "actual", "value"),
    [
        ("0006", "`alerts.max_age_seconds` (an hour)", DEFAULTS.alerts.max_age_seconds, 3600),
        ("0008", "400 days by default", DEFAULTS.retention.roots_days, 400),
        ("0017", "up to 8 MiB of a partition", DEFAULTS.worker.max_fetch_bytes, 8 * MIB),
        ("0017", "after every 4,000 events", DEFAULTS.worker.max_batch_records, 4000),
        (
            "0023",
            "are exported for `today`, `7d` and `30d`",
            list(DEFAULTS.board.metrics_windows),
            ["today", "7d", "30d"],
        ),
        ("0023", "for `30d`", list(DEFAULTS.board.metrics_pipeline_windows), ["30d"]),
    ],
)
def test_a_decision_quotes_the_default(decision: str, phrase: str, actual: object, value: object) -> None:
    assert phrase in quoted(decision)
    assert actual == value


def test_every_decision_is_listed_by_its_title() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    titles = {page.name: page.read_text(encoding="utf-8").split("\n", 1)[0].split(" ", 2)[2] for page in pages}
    listed = re.findall(r"\]\(([0-9][^)]*)\) \| (.+?) \|", quoted_index())
    assert {name: title.split(" (superseded")[0] for name, title in listed} == titles


def quoted_index() -> str:
    """The table of decisions."""
    return (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=str)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            "README.md", marks=pytest.mark.xfail(strict=True, reason="the rooms that it names are being merged")
        ),
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/decisions/0028-words-and-rooms.md",
    ],
)
def test_files_that_a_page_names_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:processors|schemas|config|docs|grafana|tests|deploy|benchmarks)/[\w./-]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
