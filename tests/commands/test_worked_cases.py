"""Cases worked out by hand: an input, a policy and what they come to. Skipped where their folder is absent."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from processors.commands.cli import main

CASES = Path(__file__).parents[3] / "shared" / "data" / "cases"
DONE = ("c15_used_exactly_the_target",)
"""Those whose rules hold."""

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"needs the worked cases in {CASES}")


def expected(name: str) -> dict[str, Any]:
    """Path within the report to the value worked out: `company/today/won`, or a number of the company over all."""
    (line,) = re.findall(r"^Expected: (.*)$", (CASES / f"{name}.md").read_text(), re.MULTILINE)
    pairs = (part.partition("=") for part in line.split("; "))
    return {path: json.loads(value) for path, _, value in pairs}


def found(report: dict[str, Any], path: str) -> Any:
    """The value at a path."""
    keys = path.split("/")
    here: Any = report if keys[0] in report else report["company"]["all"]
    for key in keys:
        here = here[key]
    return here


def report_of(name: str) -> dict[str, Any]:
    """The report, by the command that the case names."""
    (command,) = re.findall(rf"^ +salespulse (replay {name}.*)$", (CASES / f"{name}.md").read_text(), re.MULTILINE)
    result = CliRunner().invoke(main, command.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    report: dict[str, Any] = json.loads(result.stdout)
    return report


@pytest.mark.parametrize("name", DONE)
def test_a_worked_case_has_the_values_worked_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    report = report_of(name)
    values = expected(name)
    assert values
    assert {path: found(report, path) for path in values} == values


IMPORTS = CASES.parent / "imports"


def test_wins_that_were_closed_on_the_day_of_their_creation_are_all_accounted_for() -> None:
    """A CRM that stores the date of a close: of three wins, the first closed before it was created by the clock."""
    result = CliRunner().invoke(main, ["replay", str(IMPORTS / "sameday.jsonl")], catch_exceptions=False)
    numbers = json.loads(result.stdout)["company"]["all"]
    cycles = (0, (24 - 10.25) * 3600, (10 * 24 - 10.25) * 3600)
    assert (numbers["won"], numbers["cycle_negative"], numbers["cycle_fallbacks"]) == (3, 0, 3)
    assert numbers["sales_cycle_won_seconds"] == sum(cycles) / 3
