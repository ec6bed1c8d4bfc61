"""Alertmanager sends each alert to its people, once, and keeps quiet about what follows from worse."""

import http.client
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from tests.rules.programs import ALERTMANAGER, program, run
from tests.rules.test_prometheus_rules import ALERTS, Rule

T = TypeVar("T")
SHIPPED = ALERTMANAGER / "alertmanager.yml"
PUSHED = {
    "alertname": "RequestOverdue",
    "level": "1h",
    "rep": "r1",
    "team": "east",
    "channel": "mail",
    "priority": "high",
}
RECEIVERS = {
    ("sales", "warning"): "managers",
    ("sales", "critical"): "managers-urgent",
    ("platform", "warning"): "platform",
    ("platform", "critical"): "oncall",
}


def labels_of(rule: Rule) -> dict[str, str]:
    """The labels that an alert of a rule carries, with a rep and a team."""
    return {"alertname": rule["alert"], "team": "east", "rep": "r1", **rule["labels"]}


def test_amtool_finds_no_fault() -> None:
    """Nor does it miss a template."""
    assert "SUCCESS" in run("amtool", "check-config", SHIPPED)


@pytest.mark.parametrize("rule", ALERTS, ids=[rule["alert"] for rule in ALERTS])
def test_each_rule_reaches_its_people(rule: Rule) -> None:
    """By audience and severity; the watchdog has a receiver of its own."""
    labels = rule["labels"]
    watchdog = rule["alert"] == "Watchdog"
    receiver = "watchdog" if watchdog else RECEIVERS[labels["audience"], labels["severity"]]
    words = [f"{name}={value}" for name, value in labels_of(rule).items()]
    run("amtool", "config", "routes", "test", f"--config.file={SHIPPED}", f"--verify.receivers={receiver}", *words)


@pytest.mark.parametrize("severity", ["warning", "critical"])
def test_a_pushed_alert_reaches_the_rep_and_nobody_else(severity: str) -> None:
    """One source for each receiver, or people are told twice."""
    words = [f"{name}={value}" for name, value in {**PUSHED, "severity": severity}.items()]
    run("amtool", "config", "routes", "test", f"--config.file={SHIPPED}", "--verify.receivers=reps", *words)


def test_no_rule_reaches_the_receiver_of_pushed_alerts() -> None:
    """The label that tells them apart is on no rule."""
    assert not [rule["alert"] for rule in ALERTS if "channel" in rule["labels"]]


def test_inhibitions_name_alerts_that_exist() -> None:
    """A misspelled name would silence nothing, and nobody would notice."""
    names = {rule["alert"] for rule in ALERTS}
    for inhibition in yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["inhibit_rules"]:
        for matcher in [*inhibition["source_matchers"], *inhibition["target_matchers"]]:
            found = re.fullmatch(r'alertname =~? "([\w|]+)"', matcher)
            assert found, matcher
            assert set(found[1].split("|")) <= names


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """The address of a running Alertmanager with the shipped configuration."""
    command = [
        program("prometheus-alertmanager"),
        f"--config.file={SHIPPED}",
        f"--storage.path={tmp_path}",
        "--web.listen-address=127.0.0.1:0",
        "--cluster.listen-address=",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            lines = iter(process.stderr.readline, "")
            found = (
                re.search(r'msg="?Listening on"? address=(\S+)|msg=Listening address=(\S+)', line) for line in lines
            )
            match = next((match for match in found if match), None)
            assert match, "Alertmanager ended before it listened"
            yield match[1] or match[2]
        finally:
            process.terminate()


def suppressed(address: str) -> dict[tuple[str, str], bool]:
    """Whether each active alert is inhibited, by alert name and rep."""
    with urllib.request.urlopen(f"http://{address}/api/v2/alerts", timeout=10) as answer:
        alerts: list[dict[str, Any]] = json.load(answer)
    return {
        (alert["labels"]["alertname"], alert["labels"].get("rep", "")): bool(alert["status"]["inhibitedBy"])
        for alert in alerts
    }


def settled(read: Callable[[], T], wanted: T) -> T:
    """What is read once it is as wanted, or after ten seconds: Alertmanager takes alerts in at its own pace."""
    deadline = time.monotonic() + 10
    while (found := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def push(address: str, *alerts: dict[str, str]) -> None:
    """Give alerts to Alertmanager, by their labels."""
    body = json.dumps([{"labels": labels} for labels in alerts])
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("POST", "/api/v2/alerts", body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


def test_the_worse_alert_of_a_rep_silences_the_lesser_of_that_rep_alone(alertmanager: str) -> None:
    """24 h over 1 h, and neither for the colleague nor for single requests."""
    push(
        alertmanager,
        {"alertname": "RequestUnanswered24h", "team": "east", "rep": "r1", "severity": "critical"},
        {"alertname": "RequestUnanswered1h", "team": "east", "rep": "r1", "severity": "warning"},
        {"alertname": "RequestUnanswered1h", "team": "east", "rep": "r2", "severity": "warning"},
        {**PUSHED, "severity": "warning"},
    )
    wanted = {
        ("RequestUnanswered24h", "r1"): False,
        ("RequestUnanswered1h", "r1"): True,
        ("RequestUnanswered1h", "r2"): False,
        ("RequestOverdue", "r1"): False,
    }
    assert settled(lambda: suppressed(alertmanager), wanted) == wanted


def test_without_workers_the_consequences_are_silent_and_customers_are_not(alertmanager: str) -> None:
    """What hurts customers is told in any case."""
    names = ["WorkersAbsent", "WorkerDown", "PartitionUnowned", "NoEvents", "ReadModelStale", "RequestUnanswered24h"]
    push(alertmanager, *({"alertname": name} for name in names))
    wanted = {(name, ""): name not in {"WorkersAbsent", "RequestUnanswered24h"} for name in names}
    assert settled(lambda: suppressed(alertmanager), wanted) == wanted
