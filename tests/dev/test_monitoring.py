"""Prometheus and Alertmanager start with the shipped files, see targets and each other, and end without a trace."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from processors.dev.metrics_page import get, metrics
from processors.dev.monitoring import ALERTMANAGERS, PROMETHEUS, MonitoringPorts, monitoring
from processors.dev.process import LOOPBACK, free_port
from schemas.errors import Unavailable

DEADLINE_SECONDS = 60.0
HERE = all((shutil.which(PROMETHEUS), any(map(shutil.which, ALERTMANAGERS))))
needs_programs = pytest.mark.skipif(not HERE, reason="prometheus and prometheus-alertmanager are not on PATH")


class Exporter(BaseHTTPRequestHandler):
    """A board with one number."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"# TYPE crm_requests_open gauge\n" + b'crm_requests_open{rep="r",age="lt1h"} 7\n')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the overridden method
        """Say nothing."""


@contextmanager
def exporter() -> Iterator[int]:
    """The port of a running exporter."""
    server = HTTPServer((LOOPBACK, 0), Exporter)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def results(port: int, expression: str) -> list[Any]:
    """What Prometheus answers to a query."""
    text = get(port, f"/api/v1/query?query={quote(expression)}")
    return [] if text is None else list(json.loads(text)["data"]["result"])


@needs_programs
def test_prometheus_scrapes_the_board_and_knows_alertmanager(tmp_path: Path) -> None:
    with exporter() as board, monitoring(tmp_path, {"board": [f"{LOOPBACK}:{board}"]}, MonitoringPorts()) as running:
        assert running.prometheus_port is not None
        assert running.alertmanager_port is not None
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (found := results(running.prometheus_port, 'crm_requests_open{job="board"}')):
            assert time.monotonic() < deadline, "not scraped"
            time.sleep(0.1)
        assert found[0]["value"][1] == "7"
        known = json.loads(get(running.prometheus_port, "/api/v1/alertmanagers") or "")["data"]["activeAlertmanagers"]
        assert [one["url"] for one in known] == [f"http://{LOOPBACK}:{running.alertmanager_port}/api/v2/alerts"]
        rules = json.loads(get(running.prometheus_port, "/api/v1/rules") or "")["data"]["groups"]
        assert {rule["name"] for group in rules for rule in group["rules"]} >= {"Watchdog", "WorkerDown"}
        pids = [process.pid for process in running.processes]
    assert len(pids) == 2
    assert not any(map(psutil.pid_exists, pids))


def test_without_the_programs_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with monitoring(tmp_path, {}, MonitoringPorts()) as running:
        assert (running.prometheus_port, running.alertmanager_port, running.processes) == (None, None, ())


@needs_programs
def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with (
        exporter() as taken,
        pytest.raises(Unavailable, match=f"port {taken} on 127.0.0.1 is taken"),
        monitoring(tmp_path, {}, MonitoringPorts(prometheus=taken)),
    ):
        pass


def test_sums_of_a_metrics_page_choose_by_labels() -> None:
    with exporter() as port:
        page = metrics(port)
    assert page is not None
    assert page.total("crm_requests_open", age="lt1h") == 7
    assert page.total("crm_requests_open", age="gt24h") == 0
    assert page.totals_by("crm_requests_open", "rep") == {"r": 7}


def test_nobody_at_the_port_is_no_page() -> None:
    assert metrics(free_port()) is None
