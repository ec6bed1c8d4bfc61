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

from processors.notifier.receivers.alertmanager import labels
from tests.notifier.world import transition
from tests.rules.programs import ALERTMANAGER, program, run
from tests.rules.test_prometheus_rules import ALERTS, Rule

T = TypeVar("T")
SHIPPED = ALERTMANAGER / "alertmanager.yml"
KNOWN = {"alertname", "audience", "job", *labels(transition(), at_risk=False)}
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
    found = rule["labels"]
    watchdog = rule["alert"] == "Watchdog"
    receiver = "watchdog" if watchdog else RECEIVERS[found["audience"], found["severity"]]
    words = [f"{name}={value}" for name, value in labels_of(rule).items()]
    run("amtool", "config", "routes", "test", f"--config.file={SHIPPED}", f"--verify.receivers={receiver}", *words)


@pytest.mark.parametrize("severity", ["warning", "critical"])
def test_a_pushed_alert_reaches_the_rep_and_nobody_else(severity: str) -> None:
    """One source for each receiver, or people are told twice."""
    pushed = labels(transition(severity=severity), at_risk=False)
    words = [f"{name}={value}" for name, value in pushed.items()]
    run("amtool", "config", "routes", "test", f"--config.file={SHIPPED}", "--verify.receivers=reps", *words)


def test_no_rule_reaches_the_receiver_of_pushed_alerts() -> None:
    """The label that tells them apart is on no rule."""
    assert not [rule["alert"] for rule in ALERTS if "channel" in rule["labels"]]


def test_inhibitions_name_alerts_that_exist() -> None:
    """A misspelled name would silence nothing, and nobody would notification."""
    names = {rule["alert"] for rule in ALERTS}
    for inhibition in yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))["inhibit_rules"]:
        for matcher in [*inhibition["source_matchers"], *inhibition["target_matchers"]]:
            found = re.fullmatch(r'(\w+) =~? "(.+)"', matcher)
            assert found, matcher
            assert found[1] in KNOWN, matcher
            assert found[1] != "alertname" or set(found[2].split("|")) <= names


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


def suppressed(address: str, subject: str = "rep") -> dict[tuple[str, str, str], bool]:
    """Whether each active alert is inhibited, by alert name, rep (or another label of its subject) and request."""
    with urllib.request.urlopen(f"http://{address}/api/v2/alerts", timeout=10) as answer:
        alerts: list[dict[str, Any]] = json.load(answer)
    return {
        (found["alertname"], found.get(subject, ""), found.get("request_key", "")): bool(alert["status"]["inhibitedBy"])
        for alert in alerts
        for found in [alert["labels"]]
    }


def settled(read: Callable[[], T], wanted: T) -> T:
    """What is read once it is as wanted, or after ten seconds: Alertmanager takes alerts in at its own pace."""
    deadline = time.monotonic() + 10
    while (found := read()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def push(address: str, *alerts: dict[str, str]) -> None:
    """Give alerts to Alertmanager, by their labels."""
    body = json.dumps([{"labels": each} for each in alerts])
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("POST", "/api/v2/alerts", body, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


def test_the_worse_alert_of_a_rep_silences_the_lesser_of_that_rep_alone(alertmanager: str) -> None:
    """24 h over 1 h by the rules, and neither for the colleague nor for single requests of the same rep."""
    total = {"team": "east", "audience": "sales"}
    push(
        alertmanager,
        {"alertname": "RequestUnanswered24h", "rep": "r1", "severity": "critical", **total},
        {"alertname": "RequestUnanswered1h", "rep": "r1", "severity": "warning", **total},
        {"alertname": "RequestUnanswered1h", "rep": "r2", "severity": "warning", **total},
        labels(transition("q1", rep_id="r1", team="east"), at_risk=False),
    )
    wanted = {
        ("RequestUnanswered24h", "r1", ""): False,
        ("RequestUnanswered1h", "r1", ""): True,
        ("RequestUnanswered1h", "r2", ""): False,
        ("RequestUnanswered1h", "r1", key_of("q1")): False,
    }
    assert settled(lambda: suppressed(alertmanager), wanted) == wanted


def test_the_worse_alert_of_a_request_silences_the_lesser_of_that_request_alone(alertmanager: str) -> None:
    """As the notifier pushes them: not those of the rep's other requests, and also when the owner has changed."""
    push(
        alertmanager,
        labels(transition("q1", level="24h", rep_id="r2"), at_risk=False),
        labels(transition("q1", rep_id="r1"), at_risk=False),
        labels(transition("q1", turn=2, rep_id="r1"), at_risk=False),
        labels(transition("q2", rep_id="r2"), at_risk=False),
        {"alertname": "RequestUnanswered1h", "rep": "r2", "team": "east", "audience": "sales", "severity": "warning"},
    )
    wanted = {
        ("RequestUnanswered24h", "r2", key_of("q1")): False,
        ("RequestUnanswered1h", "r1", key_of("q1")): True,
        ("RequestUnanswered1h", "r1", key_of("q1", turn=2)): False,
        ("RequestUnanswered1h", "r2", key_of("q2")): False,
        ("RequestUnanswered1h", "r2", ""): False,
    }
    assert settled(lambda: suppressed(alertmanager), wanted) == wanted


def test_without_kafka_the_consequences_are_silent_and_customers_are_not(alertmanager: str) -> None:
    """Nothing comes in because nothing can."""
    names = ["NoEvents", "RebalanceLoop", "PartitionUnowned", "RequestUnanswered24h"]
    push(
        alertmanager,
        {"alertname": "KafkaDown", "job": "workers", "instance": "w1"},
        {"alertname": "ConsumerLagHigh", "instance": "w1"},
        {"alertname": "ConsumerLagHigh", "instance": "w2"},
        *({"alertname": name} for name in names),
    )
    wanted = {(name, "", ""): name in {"NoEvents", "RebalanceLoop"} for name in names}
    wanted |= {
        ("KafkaDown", "w1", ""): False,
        ("ConsumerLagHigh", "w1", ""): True,
        ("ConsumerLagHigh", "w2", ""): False,
    }
    assert settled(lambda: suppressed(alertmanager, "instance"), wanted) == wanted


def test_a_notifier_without_kafka_silences_nothing_of_the_workers(alertmanager: str) -> None:
    """They read on. What Redis silences shows that Alertmanager has looked."""
    names = ["RedisDown", "NoEvents", "RebalanceLoop", "PartitionUnowned", "ConsumerLagHigh", "ReadModelStale"]
    push(alertmanager, {"alertname": "KafkaDown", "job": "notifier"}, *({"alertname": name} for name in names))
    wanted = {(name, "", ""): name == "ReadModelStale" for name in ["KafkaDown", *names]}
    assert settled(lambda: suppressed(alertmanager), wanted) == wanted


def key_of(request: str, turn: int = 1) -> str:
    """The label by which the notifier tells turns apart."""
    return labels(transition(request, turn=turn), at_risk=False)["request_key"]


def test_without_workers_the_consequences_are_silent_and_customers_are_not(alertmanager: str) -> None:
    """What hurts customers is told in any case."""
    names = ["WorkersAbsent", "WorkerDown", "PartitionUnowned", "NoEvents", "ReadModelStale", "RequestUnanswered24h"]
    push(alertmanager, *({"alertname": name} for name in names))
    wanted = {(name, "", ""): name not in {"WorkersAbsent", "RequestUnanswered24h"} for name in names}
    assert settled(lambda: suppressed(alertmanager), wanted) == wanted


def test_slack_finds_no_mention_link_or_markup_in_what_customers_typed(tmp_path: Path) -> None:
    """Nor does Mattermost, which reads bare mentions and Markdown."""
    typed = "<!channel> & @here ](http://evil.example) `x`"
    alert = {"status": "firing", "labels": {}, "annotations": {"summary": typed, "description": typed}}
    data = {
        "status": "firing",
        "alerts": [alert],
        "commonLabels": {"severity": "critical"},
        "commonAnnotations": {"summary": typed},
    }
    path = tmp_path / "data.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    templates = f"--template.glob={ALERTMANAGER / 'templates' / '*.tmpl'}"
    for name in ("title", "text"):
        text = f'--template.text={{{{ template "salespulse.slack.{name}" . }}}}'
        shown = run("amtool", "template", "render", templates, text, f"--template.data={path}")
        assert "&lt;!channel&gt; &amp; " in shown
        assert not re.search(r"<|@here|\]\(|`x", shown)
