"""SIGHUP: what a policy file may change while requests are open, and what is said of it."""

import logging
from pathlib import Path

import pytest

from config.load_policy import parse_policy
from config.policy_reload import PolicyReload

NOW_US = 1_800_000_000_000_000
"""2027-01-15T08:00:00Z."""
PIPELINES = """
[pipelines]
default = ["prospecting", "demo"]
"""
POLICY = (
    PIPELINES
    + """
[[levels]]
name = "1h"
seconds = 3600

[calendars.office]
time_zone = "UTC"
hours.mon-fri = ["09:00-17:00"]

[[versions]]
effective_from = 2027-01-01T00:00:00Z
calendar = "office"
"""
)
NEXT = """
[[versions]]
effective_from = {}
[[versions.levels]]
name = "30m"
seconds = 1800
"""


class Program:
    """A program that holds a policy, and gets SIGHUP after its file was changed."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "policy.toml"
        self.restarts = 0
        self.reload = PolicyReload(self.path, parse_policy(POLICY, "before"), lambda: NOW_US, self._restart)

    def _restart(self) -> None:
        self.restarts += 1

    def hang_up(self, text: str) -> bool:
        """Whether it restarts."""
        self.path.write_text(text, encoding="utf-8")
        before = self.restarts
        self.reload()
        return self.restarts == before + 1


@pytest.fixture
def program(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Program:
    caplog.set_level(logging.INFO)
    return Program(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        POLICY + NEXT.format("2027-01-15T08:00:01Z"),
        POLICY.replace('"demo"', '"demo", "trial"'),
        POLICY + '[calendars.unused]\ntime_zone = "UTC"\nhours.mon = ["10:00-11:00"]\n',
    ],
    ids=["a version to come", "a stage", "a calendar that nobody uses"],
)
def test_what_leaves_open_turns_alone_is_taken(program: Program, caplog: pytest.LogCaptureFixture, text: str) -> None:
    assert program.hang_up(text)
    assert [record.getMessage() for record in caplog.records] == [
        f"SIGHUP: {program.path} has changed: beginning anew with it"
    ]


@pytest.mark.parametrize(
    "text",
    [
        POLICY.replace("3600", "1800"),
        POLICY.replace("09:00-17:00", "09:00-18:00"),
        POLICY + NEXT.format("2027-01-15T08:00:00Z"),
        POLICY.replace("2027-01-01", "2027-01-02"),
        POLICY + '[teams.east]\ncalendar = "office"\n',
        POLICY.split("[[versions]]", maxsplit=1)[0],
    ],
    ids=["a level", "hours", "a version since now", "a version moved", "a team's calendar", "a version taken out"],
)
def test_what_changes_open_turns_is_refused(program: Program, caplog: pytest.LogCaptureFixture, text: str) -> None:
    assert not program.hang_up(text)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "changes levels or calendars of open turns" in record.getMessage()
    assert "\n" not in record.getMessage()


def test_a_policy_with_a_mistake_is_refused_with_its_line(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    assert not program.hang_up(POLICY.replace("seconds = 3600", "seconds = 0"))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"SIGHUP: the policy stays as it was: {program.path}:7: ")


def test_a_file_that_is_gone_is_refused(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    program.reload()
    assert program.restarts == 0
    assert "the policy stays as it was" in caplog.text


def test_nothing_new_changes_nothing(program: Program, caplog: pytest.LogCaptureFixture) -> None:
    assert not program.hang_up(POLICY + "# a remark\n")
    assert "says what it said before" in caplog.text
