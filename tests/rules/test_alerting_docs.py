"""The blocks of docs/alerting.md work when they are pasted where the page says, and its table tells the truth."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rules.programs import ALERTMANAGER, ROOT, run
from tests.rules.test_prometheus_rules import RULES

PAGE = (ROOT / "docs" / "alerting.md").read_text(encoding="utf-8")
BLOCKS = re.findall(
    r"^```yaml receiver=(\S+)(?: alertmanager=(\d+)\.(\d+))?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
)
ALERT = '{"status":"firing","labels":{"alertname":"A","severity":"critical"},"annotations":%s}'


def version() -> tuple[int, int]:
    """The version of the amtool that is installed; one that was built by hand says none, and is taken for new."""
    found = re.search(r"version (\d+)\.(\d+)", run("amtool", "--version"))
    return (int(found[1]), int(found[2])) if found else (1, 0)


@pytest.mark.parametrize(("receiver", "major", "minor", "block"), BLOCKS, ids=[block[0] for block in BLOCKS])
def test_a_receiver_of_the_docs_is_accepted(receiver: str, major: str, minor: str, block: str, tmp_path: Path) -> None:
    """Put under the receiver's name in the shipped file."""
    if major and version() < (int(major), int(minor)):
        pytest.skip(f"this block needs amtool {major}.{minor}")
    shipped: dict[str, Any] = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text(encoding="utf-8"))
    [place] = [one for one in shipped["receivers"] if one["name"] == receiver]
    place.update(yaml.safe_load(block))
    shipped["templates"] = [str(ALERTMANAGER / "templates" / "*.tmpl")]
    changed = tmp_path / "alertmanager.yml"
    changed.write_text(yaml.safe_dump(shipped), encoding="utf-8")
    assert "SUCCESS" in run("amtool", "check-config", changed)


def test_the_docs_have_a_block_for_every_way_out() -> None:
    """Slack, Teams, e-mail and PagerDuty."""
    kinds = {kind for *_, block in BLOCKS for kind in yaml.safe_load(block)}
    assert kinds >= {"slack_configs", "msteamsv2_configs", "email_configs", "pagerduty_configs"}


def test_the_docs_name_every_receiver() -> None:
    """In the table of who gets what."""
    shipped = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text(encoding="utf-8"))
    rows = set(re.findall(r"^\| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    assert {receiver["name"] for receiver in shipped["receivers"]} <= rows


def test_the_thresholds_of_the_objective_are_those_of_the_rules() -> None:
    """The share missed that each pair of windows asks for."""
    found = re.findall(r"^\|[^|]*\| (\d+) (h|d) \|[^|]+\| (\d+) % \| (\d+) turns", PAGE, re.MULTILINE)
    documented = {f"{count}{unit}": (int(share), int(least)) for count, unit, share, least in found}
    text = "\n".join(rule["expr"] for rule in RULES if "alert" in rule)
    pattern = (
        r"ratio_rate(\d+[hd]) > \(([\d.]+) \* 0\.05\)\s+and\s+\S+ > \S+ \* 0\.05\)\s+and\s+\S+:increase\1 >= (\d+)"
    )
    rules = {window: (round(float(factor) * 5), int(least)) for window, factor, least in re.findall(pattern, text)}
    assert documented == rules
    assert rules.keys() == {"1h", "6h", "1d", "3d"}


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        (
            '{"summary":"Late.","description":"r1 is late.","runbook_url":"docs/x"}',
            "[critical] Late.|r1 is late.|What to do: docs/x",
        ),
        ('{"summary":"Late.","link":"http://board/"}', "[critical] Late.|Late.|http://board/"),
        ("{}", "[critical] A|"),
    ],
)
def test_a_message_says_what_is_known(annotations: str, words: str, tmp_path: Path) -> None:
    """Pushed alerts have a link, rules a runbook, and neither leaves an empty line for what it lacks."""
    data = tmp_path / "data.json"
    common = f'"commonLabels":{{"alertname":"A","severity":"critical"}},"commonAnnotations":{annotations}'
    data.write_text(f'{{"status":"firing","alerts":[{ALERT % annotations}],{common}}}', encoding="utf-8")
    rendered = run(
        "amtool",
        "template",
        "render",
        f"--template.glob={ALERTMANAGER / 'templates' / '*.tmpl'}",
        '--template.text={{ template "salespulse.title" . }}\n{{ template "salespulse.text" . }}',
        f"--template.data={data}",
    )
    assert [line for line in rendered.splitlines() if line] == [line for line in words.split("|") if line]
