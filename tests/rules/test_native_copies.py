"""The copies of the configuration for runs without containers: same jobs, rules and routes, other addresses."""

from pathlib import Path

import pytest
import yaml

from config.alertmanager import native as alertmanager
from config.prometheus import native as prometheus
from schemas.errors import ConfigError
from tests.rules.programs import ALERTMANAGER, PROMETHEUS, run


def test_a_copy_of_prometheus_scrapes_the_addresses_given(tmp_path: Path) -> None:
    """And no name of a container is left in it."""
    targets = {"board": ["127.0.0.1:1"], "worker": ["127.0.0.1:2", "127.0.0.1:3"], "alertmanager": ["127.0.0.1:4"]}
    text = prometheus.render(targets, interval_seconds=1)
    copy = tmp_path / "prometheus.yml"
    copy.write_text(text, encoding="utf-8")
    run("promtool", "check", "config", copy)
    assert "dns_sd_configs:" not in text
    config = yaml.safe_load(text)
    scraped = {job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]}
    assert scraped == {
        "board": ["127.0.0.1:1"],
        "workers": ["127.0.0.1:2", "127.0.0.1:3"],
        "notifier": [],
        "prometheus": [],
    }
    assert config["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["127.0.0.1:4"]}]}]
    assert config["global"] == {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    assert [Path(path).parent for path in config["rule_files"]] == [PROMETHEUS / "rules"] * 3


def test_a_copy_of_alertmanager_calls_the_webhooks_given(tmp_path: Path) -> None:
    """Routes and inhibitions stay as they are."""
    text = alertmanager.render({"reps": "http://127.0.0.1:5/reps"})
    copy = tmp_path / "alertmanager.yml"
    copy.write_text(text, encoding="utf-8")
    assert "1 templates" in run("amtool", "check-config", copy)
    copied = yaml.safe_load(text)
    shipped = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text(encoding="utf-8"))
    assert copied["route"] == shipped["route"]
    assert copied["inhibit_rules"] == shipped["inhibit_rules"]
    [reps] = [one for one in copied["receivers"] if one["name"] == "reps"]
    assert reps["webhook_configs"] == [{"url": "http://127.0.0.1:5/reps", "send_resolved": True}]
    assert [list(one) for one in copied["receivers"] if one["name"] != "reps"] == [["name"]] * 5


@pytest.mark.parametrize("render", [prometheus.render, alertmanager.render])
def test_an_unknown_name_is_refused(render: object) -> None:
    """A misspelled one would be silently left out."""
    assert callable(render)
    with pytest.raises(ConfigError, match=r"boards?"):
        render({"boards": ["x"]})
