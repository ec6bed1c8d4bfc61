"""`salespulse backtest`: what it prints, its JSON, and a page that needs nothing else and believes no name."""

import html.parser
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from config.load_policy import load_policy
from config.settings import HERE
from processors.commands.backtest import as_html, as_json, backtest_files, print_backtest
from processors.core.reports.backtest import BacktestReport
from schemas.codec import encode
from schemas.errors import ConfigError, UsageError
from schemas.events import Message
from tests.story import HOUR, answered, opened

SHIPPED = HERE / "policy.toml"
EVIL = '<script>alert("x")</script>'


def written(path: Path, messages: list[Message], *more: bytes) -> str:
    """A JSONL file."""
    path.write_bytes(b"\n".join([*map(encode, messages), *more]) + b"\n")
    return str(path)


@pytest.fixture
def strict(tmp_path: Path) -> Path:
    """A policy with half an hour instead of an hour, and a level of its own."""
    path = tmp_path / "<i>strict.toml"
    text = SHIPPED.read_text(encoding="utf-8").replace("seconds = 3600", "seconds = 1800", 1)
    path.write_text(text.replace('name = "24h"', 'name = "1day"', 1), encoding="utf-8")
    return path


@pytest.fixture
def history(tmp_path: Path) -> str:
    """Forty requests, answered after 5 minutes to more than a day, by reps of any name."""
    waits = [5, 20, 40, 50, 59, 61, 90, 200, 26 * HOUR, 30 * HOUR]
    story: list[Message] = []
    for number, wait in enumerate(waits * 4):
        rep = EVIL if number % 10 == 8 else f"rep-{number % 4}"
        story.append(opened(number * HOUR, f"r{number}", customer=f"c{number}", rep_id=rep))
        story.append(answered(number * HOUR + wait, rep, f"r{number}", customer=f"c{number}"))
    return written(tmp_path / "history.jsonl", story, b"{", b'{"type": "unheard"}')


@pytest.fixture
def compared(history: str, strict: Path) -> BacktestReport:
    """The strict policy against the shipped one."""
    return backtest_files((history,), strict, SHIPPED, None)


def test_the_counts_agree_with_the_waits(compared: BacktestReport) -> None:
    assert compared.old is not None
    assert compared.comparison is not None
    assert compared.old.levels["1h"].alerts == 5 * 4
    assert compared.new.levels["1h"].alerts == 8 * 4
    assert compared.comparison.levels["1h"].breaches_added == 3 * 4
    assert compared.events["malformed"] == 2


def test_the_table_names_everything(compared: BacktestReport) -> None:
    stream = io.StringIO()
    print_backtest(compared, Console(file=stream, width=200))
    text = stream.getvalue()
    for word in ("<i>strict.toml", "policy.toml", "1day", EVIL, "What changes", "by other levels", "busiest hours"):
        assert word in text
    stream = io.StringIO()
    print_backtest(compared, Console(file=stream, width=200))
    assert stream.getvalue() == text


def test_the_json_is_the_report_with_sorted_keys(compared: BacktestReport) -> None:
    document: dict[str, Any] = json.loads(as_json(compared))
    assert list(document) == sorted(document)
    assert document["new"]["levels"]["1h"]["alerts"] == 32
    assert len(document["comparison"]["hours"]) == 168
    assert document["comparison"]["causes"].keys() == {"calendars", "levels"}


class Page(html.parser.HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag opens."""
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag without an end."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        """A tag closes: the one that was opened last."""
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Text."""
        self.words.append(data)


def test_the_page_needs_nothing_from_elsewhere_and_believes_no_name(compared: BacktestReport) -> None:
    text = as_html(compared)
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert EVIL in page.words
    assert "i" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert not re.search(r"https?://|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text


def test_the_page_has_a_cell_for_every_hour_and_bars_as_long_as_their_numbers(compared: BacktestReport) -> None:
    text = as_html(compared)
    assert len(re.findall(r"<title>(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d\d:00: ", text)) == 2 * 168
    new = re.search(r'class="new"[^>]* width="([\d.]+)"[^>]*><title>1h: 32<', text)
    old = re.search(r'class="old"[^>]* width="([\d.]+)"[^>]*><title>1h before: 20<', text)
    assert new is not None
    assert old is not None
    assert float(old[1]) / float(new[1]) == pytest.approx(20 / 32, abs=0.01)


def test_one_policy_alone_is_not_compared(history: str) -> None:
    report = backtest_files((history,), SHIPPED, None, None)
    assert (report.old, report.comparison) == (None, None)
    text = as_html(report)
    assert Page(text).open == []
    assert "before" not in Page(text).words
    stream = io.StringIO()
    print_backtest(report, Console(file=stream, width=200))
    assert "What changes" not in stream.getvalue()


def test_nothing_at_all_makes_a_report_too(tmp_path: Path) -> None:
    report = backtest_files((written(tmp_path / "empty.jsonl", []),), SHIPPED, SHIPPED, None)
    assert report.new.total.alerts == 0
    assert Page(as_html(report)).open == []
    print_backtest(report, Console(file=io.StringIO()))


def test_the_first_bad_lines_are_printed(history: str, capsys: pytest.CaptureFixture[str]) -> None:
    backtest_files((history,), SHIPPED, None, None)
    printed = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in printed] == [f"{history}:81", f"{history}:82"]


def test_a_policy_that_cannot_be_and_a_missing_file_are_errors_in_words(tmp_path: Path, history: str) -> None:
    with pytest.raises(ConfigError, match=r"no-policy\.toml"):
        backtest_files((history,), tmp_path / "no-policy.toml", None, None)
    with pytest.raises(UsageError, match="no-history"):
        backtest_files((str(tmp_path / "no-history"),), SHIPPED, None, None)


def test_the_shipped_policy_is_the_default() -> None:
    assert load_policy(SHIPPED).level_names == ("1h", "24h")
