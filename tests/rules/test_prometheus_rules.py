"""The rules of Prometheus do what their tests say, and every alert has its test, its words and its runbook."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from processors.board.metrics.families import MAX_REP_SERIES
from tests.grafana.catalogue import BUSINESS
from tests.rules.programs import PROMETHEUS, ROOT, RULE_FILES, RULE_TESTS, program, run

Rule = dict[str, Any]
RULES: list[Rule] = [
    rule
    for path in RULE_FILES
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = [rule["alert"] for rule in ALERTS]
CATALOGUE = {
    "RequestUnanswered1h": "warning",
    "RequestUnanswered24h": "critical",
    "TeamRequestsUnanswered24h": "critical",
    "AnswerSloBurnFast": "critical",
    "AnswerSloBurnSlow": "warning",
    "WorkerDown": "warning",
    "WorkersAbsent": "critical",
    "BoardAbsent": "critical",
    "NotifierAbsent": "critical",
    "PartitionUnowned": "critical",
    "ConsumerLagHigh": "warning",
    "NoEvents": "warning",
    "DeadLetters": "warning",
    "KeyMismatch": "warning",
    "RebalanceLoop": "warning",
    "ReadModelStale": "critical",
    "AlertLagHigh": "warning",
    "NotifierFailing": "critical",
    "RedisDown": "critical",
    "KafkaDown": "critical",
    "RestartLoop": "critical",
    "RecordsLost": "critical",
    "TopicChanged": "critical",
    "ScrapeSlow": "warning",
    "NamesFolded": "warning",
    "Watchdog": "none",
}


def expectations() -> list[Rule]:
    """Every expectation about an alert in the rule tests."""
    tests = [test for path in RULE_TESTS for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]]
    return [expectation for test in tests for expectation in test.get("alert_rule_test", [])]


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.name)
def test_promtool_runs_the_rule_tests(path: Path) -> None:
    """Labels and annotations are compared as people would see them."""
    assert "SUCCESS" in run("promtool", "test", "rules", path)


def test_promtool_finds_no_fault_in_rules_and_configuration() -> None:
    """The linter knows duplicate rules and files that are missing."""
    run("promtool", "check", "rules", "--lint=all", *RULE_FILES)
    run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.parametrize("job", ["board", "workers", "notifier"])
def test_no_program_can_grow_a_scrape_without_limit(job: str) -> None:
    """And no limit is in the way of what the programs export: ids have 128 characters of up to 4 bytes."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    (scraped,) = (one for one in config["scrape_configs"] if one["job_name"] == job)
    reps = 12_000 if job == "board" else 0
    assert MAX_REP_SERIES * reps < scraped["sample_limit"] <= 1_000_000
    assert (
        max(len(labels) for labels in BUSINESS.values()) + len(("__name__", "job", "instance")) < scraped["label_limit"]
    )
    assert 4 * 128 < scraped["label_value_length_limit"] < 1000


def test_a_rule_that_never_fires_fails_its_test(tmp_path: Path) -> None:
    """The tests can fail: with the threshold out of reach promtool says so."""
    rules = (PROMETHEUS / "rules" / "alerts.yml").read_text(encoding="utf-8")
    broken = rules.replace('age="gt24h"}) > 0', 'age="gt24h"}) > 1000')
    assert broken != rules
    (tmp_path / "rules" / "tests").mkdir(parents=True)
    (tmp_path / "rules" / "alerts.yml").write_text(broken, encoding="utf-8")
    tests = (PROMETHEUS / "rules" / "tests" / "alerts.test.yml").read_text(encoding="utf-8")
    copy = tmp_path / "rules" / "tests" / "alerts.test.yml"
    copy.write_text(tests, encoding="utf-8")
    with pytest.raises(AssertionError, match="RequestUnanswered24h"):
        run(program("promtool"), "test", "rules", copy)


def test_prometheus_loads_every_rule_file() -> None:
    """A new file that nobody lists would be dead."""
    listed = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))["rule_files"]
    assert sorted(listed) == [f"rules/{path.name}" for path in RULE_FILES]


def test_the_alerts_are_those_of_the_catalogue() -> None:
    """With the severity that routes and inhibitions build upon."""
    assert {rule["alert"]: rule["labels"]["severity"] for rule in ALERTS} == CATALOGUE


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_is_seen_firing_in_a_test(name: str) -> None:
    """With its labels and its words."""
    assert [one for one in expectations() if one["alertname"] == name and one.get("exp_alerts")]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"Watchdog"}))
def test_every_alert_is_seen_silent_in_a_test(name: str) -> None:
    """Either as a whole or for one of several subjects: an alert that always fires passes no test."""
    silent = [one for one in expectations() if one["alertname"] == name and not one.get("exp_alerts")]
    inputs = [test for path in RULE_TESTS for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]]
    contrasts = [
        test
        for test in inputs
        if len(test["input_series"]) > 1 and any(one["alertname"] == name for one in test.get("alert_rule_test", []))
    ]
    assert silent or contrasts


@pytest.mark.parametrize("rule", ALERTS, ids=NAMES)
def test_every_alert_has_labels_words_and_a_runbook(rule: Rule) -> None:
    """The runbook exists, and so does the section that the link names."""
    assert rule["labels"]["audience"] in {"sales", "platform"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert "{{" not in rule["annotations"]["summary"], "a summary that varies cannot be grouped by eye"
    path, anchor = rule["annotations"]["runbook_url"].split("#")
    assert path == f"docs/runbooks/{rule['alert']}.md"
    page = (ROOT / path).read_text(encoding="utf-8")
    assert page.startswith(f"# {rule['alert']}\n\nSeverity: {rule['labels']['severity']}. ")
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", page, re.MULTILINE)}
    assert anchor in headings


def test_no_runbook_is_left_over() -> None:
    """And the index names each, with its severity."""
    folder = ROOT / "docs" / "runbooks"
    assert {path.stem for path in folder.glob("*.md")} - {"README"} == set(NAMES)
    index = (folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \| (\w+) \| (\w+) \|$", index, re.MULTILINE)
    wanted = [(rule["alert"], rule["alert"], rule["labels"]["severity"], rule["labels"]["audience"]) for rule in ALERTS]
    assert sorted(rows) == sorted(wanted)


def test_the_fastest_burn_can_be_reached() -> None:
    """A factor times the share allowed that passes 1 can never fire."""
    text = (PROMETHEUS / "rules" / "slo.yml").read_text(encoding="utf-8")
    thresholds = re.findall(r"> \(([\d.]+) \* ([\d.]+)\)", text)
    assert len(thresholds) == 8
    assert {share for _, share in thresholds} == {"0.05"}
    assert max(float(factor) * float(share) for factor, share in thresholds) < 1


def test_recorded_names_say_level_metric_and_operation() -> None:
    """What an alert compares is recorded in its own group: from another one it would be an interval old."""
    for path in RULE_FILES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            recorded = {rule["record"] for rule in group["rules"] if "record" in rule}
            assert all(re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z]+(_?[a-z]+\d+[mhd]|\d+[mhd])?", name) for name in recorded)
            used = {
                name for rule in group["rules"] if "alert" in rule for name in re.findall(r"\w+:\w+:\w+", rule["expr"])
            }
            assert used <= recorded, path.name
