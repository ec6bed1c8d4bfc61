"""The demo runs the whole stack, ends by itself or at Ctrl-C, and leaves nothing behind."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from processors.core.time.instants import instant_us, moment
from processors.dev.demo_settings import live_origin_us
from processors.dev.metrics_page import metrics
from processors.dev.process import LOOPBACK, free_port
from schemas.views import UNASSIGNED

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 120.0
SMALL = ["--days", "3", "--reps", "6"]


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running `salespulse demo` whose temporary files are below the directory."""
    port = () if "--port" in arguments else ("--port", str(free_port()))
    command = [sys.executable, "-m", "processors.commands.cli", "demo", *arguments, *port]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {"TMPDIR": str(directory)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def output_until(process: subprocess.Popen[str], wanted: str) -> str:
    """Its output until a line contains the words; the test's own time limit ends a wait in vain."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            return "".join(lines)
    pytest.fail(f"it ended without {wanted!r}: {''.join(lines)} {process.stderr.read() if process.stderr else ''}")


def assert_nothing_is_left(directory: Path, children: list[psutil.Process]) -> None:
    """No file and no process."""
    assert list(directory.iterdir()) == []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline, children
        time.sleep(0.05)


def test_it_ends_by_itself_with_a_summary(tmp_path: Path) -> None:
    with demo(tmp_path, *SMALL, "--seconds", "3") as process:
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, err) == (0, "")
    assert "\x1b" not in out
    assert re.search(r"events +[\d,]+ of history", out)
    assert re.search(r"rate +[\d.,]+ live events a second", out)
    assert re.search(r"reps +6\n", out)
    assert re.search(r"open requests +\d", out)
    assert re.search(r"breaches +\d", out)
    assert_nothing_is_left(tmp_path, [])


def test_it_serves_what_it_names_and_other_commands_find_it_until_ctrl_c(tmp_path: Path) -> None:
    port = free_port()
    with demo(tmp_path, *SMALL, "--port", str(port), "--speed", "600") as process:
        output = output_until(process, "Ctrl-C")
        children = psutil.Process(process.pid).children(recursive=True)
        commands = [child.cmdline() for child in children]
        pages = re.findall(r"http://127\.0\.0\.1:\S+", output)
        assert len(pages) >= 4
        for page in pages:
            with urlopen(page, timeout=DEADLINE_SECONDS) as answer:
                assert answer.status == 200, page
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (page := metrics(port)) is None or not page.total("crm_activities", window="30d"):
            assert time.monotonic() < deadline, "no activity in /metrics"
            time.sleep(0.05)
        assert len(page.totals_by("crm_rep_info", "rep").keys() - {UNASSIGNED}) == 6
        [command] = re.findall(r"\S+ verify --config .+", output)
        verified = subprocess.run(
            shlex.split(command), check=False, capture_output=True, text=True, timeout=DEADLINE_SECONDS
        )
        assert (verified.returncode, verified.stderr) == (0, "")
        assert "the read model is right" in verified.stdout
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, err) == (0, "")
    assert "open requests" in out
    assert {"worker", "board", "notifier"} <= {word for words in commands for word in words}
    assert_nothing_is_left(tmp_path, children)


def test_without_alertmanager_alerts_are_lines_on_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))
    with demo(tmp_path, *SMALL, "--speed", "600") as process:
        output = output_until(process, "owner")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, err) == (0, "")
    assert "Alerts are shown here as they fall due" in output
    assert re.search(r"\n\w+day \d\d:\d\d UTC   \S+ has waited (1h|24h) for an answer: owner \S+, team \S+, by", output)
    assert re.search(r"alerts +[1-9]\d* passed", out)


def test_ctrl_c_before_it_runs_leaves_nothing_either(tmp_path: Path) -> None:
    with demo(tmp_path, "--days", "300") as process:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not list(tmp_path.glob("*/redis.log")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130
    assert out == "stopped before it was running\n"
    assert_nothing_is_left(tmp_path, children)


def test_a_reader_that_leaves_ends_it_and_nothing_is_left_either(tmp_path: Path) -> None:
    with demo(tmp_path, *SMALL, "--seconds", "1") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(DEADLINE_SECONDS) == 0
    assert_nothing_is_left(tmp_path, [])


def test_a_part_that_dies_ends_it_with_one_line(tmp_path: Path) -> None:
    with demo(tmp_path, *SMALL) as process:
        output_until(process, "Ctrl-C")
        children = psutil.Process(process.pid).children(recursive=True)
        next(child for child in children if "worker" in child.cmdline()).kill()
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert re.fullmatch(r"salespulse: the worker ended with exit code -9 .*logs are in .*\n", err)
    assert all(not child.is_running() or child.status() == psutil.STATUS_ZOMBIE for child in children)


def test_a_taken_port_is_told_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as rival:
        rival.bind((LOOPBACK, 0))
        rival.listen()
        with demo(tmp_path, "--port", str(rival.getsockname()[1])) as process:
            _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 1
    assert re.fullmatch(r"salespulse: --port \d+: the port is taken; choose another one.*\n", err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("policy", [None, 'time_zone = "Mars/Base"'])
def test_a_policy_that_is_missing_or_wrong_is_told_in_one_line_before_anything_starts(
    tmp_path: Path, policy: str | None
) -> None:
    files, directory = tmp_path / "given", tmp_path / "demo"
    files.mkdir()
    directory.mkdir()
    (files / "settings.toml").write_text('[policy]\npath = "ours.toml"', encoding="utf-8")
    if policy is not None:
        (files / "ours.toml").write_text(policy, encoding="utf-8")
    with demo(directory, *SMALL, "--config", str(files / "settings.toml")) as process:
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, out) == (2, "")
    assert re.fullmatch(rf"salespulse: {files}/ours\.toml.*\n", err)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("option", ["--speed", "--seconds", "--days"])
def test_an_option_that_makes_no_sense_is_refused(tmp_path: Path, option: str) -> None:
    with demo(tmp_path, option, "0") as process:
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 2
    assert option in err


@pytest.mark.parametrize(
    ("now", "origin"),
    [
        ("2026-11-19T15:00:00", "2026-11-19T14:00:00"),  # a Thursday
        ("2026-11-19T13:59:59", "2026-11-18T14:00:00"),
        ("2026-11-23T18:00:00", "2026-11-19T14:00:00"),  # the Monday after
        ("2026-11-24T14:00:00", "2026-11-24T14:00:00"),
    ],
)
def test_live_time_begins_when_most_are_at_work_and_not_in_the_future(now: str, origin: str) -> None:
    now_us = instant_us(datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert moment(live_origin_us(now_us)) == datetime.fromisoformat(origin).replace(tzinfo=UTC)
