"""The benchmarks of whole processes in their smallest form: the figures of so short a run mean nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks import alerts, exposition, latency, live_page, prometheus, queries, throughput


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SALESPULSE_BENCHMARK_CACHE", str(tmp_path))


def run(command: click.Command, *options: str) -> Any:
    """The figures of a benchmark."""
    result = CliRunner().invoke(command, [*options, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_throughput_compares_worker_naive_agent_and_ceiling() -> None:
    found = run(throughput.main, "--events", "20000", "--naive-events", "500", "--rounds", "1", "--whole")
    for name in throughput.CONTENDERS:
        assert found[name]["events_per_second"] > 0
        assert found[name]["cpu_seconds_per_million"] > 0
    assert found["worker_to_naive"] > 0
    assert found["worker_mib"] > 0


def test_every_probe_of_latency_becomes_visible() -> None:
    found = run(latency.main, "--per-second", "500", "--seconds", "3", "--settle-seconds", "2")
    assert found["unseen"] == 0
    assert found["count"] > 0
    assert 0 < found["p50"] <= found["p99"] <= found["most"]


def test_alerts_fire_after_their_due_instant_and_not_before() -> None:
    short = ("--span-hours", "1.5", "--per-second", "500", "--seconds", "5", "--burst", "2000")
    found = run(alerts.main, "--requests", "20000", *short)
    assert found["lag"]["count"] > 0
    assert found["burst"]["count"] == 2000
    assert found["burst"]["p50"] > 0
    assert found["lag"]["p50"] > 0
    assert found["open_requests"] >= 20000
    assert found["recovery_seconds"] > 0


def test_scrapes_are_timed_and_stalls_are_seen() -> None:
    found = run(exposition.main, "--reps", "50", "--days", "2", "--rest-seconds", "0.1")
    assert [scrape["dirty_percent"] for scrape in found["scrapes"]] == exposition.SHARES
    assert all(scrape["seconds"] > 0 and scrape["mib"] > 0 for scrape in found["scrapes"])
    assert any(scrape["stall_seconds"] > 0 for scrape in found["scrapes"])
    assert 50 * 60 < found["samples"] < 50 * 100  # the budget of series
    assert found["rendered_seconds"] > 0


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (Debian: prometheus)")
def test_every_query_of_the_boards_is_fast_with_a_thousand_reps() -> None:
    found = run(queries.main, "--reps", "1000", "--days", "2")
    assert found["series"] > 60_000
    asked = {(one["board"], one["panel"]) for one in found["queries"] if one["series"]}
    assert len(asked) > 30
    assert {one["panel"]: one["cpu_milliseconds"] for one in found["queries"] if one["cpu_milliseconds"] >= 300} == {}


def test_a_real_prometheus_scrapes_and_tells_its_times() -> None:
    found = run(prometheus.main, "--reps", "30", "--days", "2", "--interval-seconds", "1", "--scrapes", "2")
    assert found["failed"] == 0
    assert found["seconds"]["count"] >= 2
    assert 30 * 60 < found["samples"] < 30 * 100
    assert found["board_mib"] > 0


def test_every_view_of_the_live_page_is_timed_and_its_updates_are_weighed() -> None:
    found = run(live_page.main, "--reps", "50", "--requests", "100", "--seconds", "3")["views"]
    assert [one["view"] for one in found] == list(live_page.VIEWS)
    assert all(one["page_seconds"] > 0 and one["page_kib"] > 1 and one["stall_seconds"] > 0 for one in found)
    assert all(one["updates"] > 0 and one["update_kib"] > 0 for one in found if one["view"] != "rep")
