"""The command serves until a signal stops it, and reports errors in one line."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO
from urllib.request import urlopen

from processors.dev.process import free_port

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "policy.toml"
COMMAND = [sys.executable, "-c", "from processors.commands.cli import main; main()", "board"]


@contextmanager
def board(port: int, redis_url: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    env = os.environ | {"SALESPULSE_BOARD__PORT": str(port), "SALESPULSE_REDIS__URL": redis_url} | settings
    process = subprocess.Popen(COMMAND, env=env, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def address(stream: IO[str] | None) -> str:
    assert stream is not None
    line = next(line for line in stream if "the board is at" in line)
    return str(json.loads(line)["message"]).split()[-1]


def test_it_logs_its_address_and_stops_at_a_signal(redis_url: str) -> None:
    with board(0, redis_url) as process:
        place = address(process.stderr)
        with urlopen(f"{place}healthz", timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_at_sighup_it_takes_a_policy_for_turns_to_come_and_refuses_a_bad_one(redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text := SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")
    with board(port := free_port(), redis_url, SALESPULSE_POLICY__PATH=str(path)) as process:
        address(process.stderr)
        for edited, answer in (
            (text.replace("seconds = 3600", "seconds = 0"), "the policy stays as it was"),
            (text + "[[versions]]\neffective_from = 2099-01-01T00:00:00Z\n", "beginning anew with it"),
        ):
            path.write_text(edited, encoding="utf-8")
            process.send_signal(signal.SIGHUP)
            assert process.stderr is not None
            assert answer in next(line for line in process.stderr if "SIGHUP" in line)
        assert address(process.stderr) == f"http://127.0.0.1:{port}/"
        with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as answered:
            assert answered.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_it_listens_on_loopback_by_default(redis_url: str) -> None:
    with board(0, redis_url) as process:
        assert address(process.stderr).startswith("http://127.0.0.1:")


def test_a_taken_port_is_one_clear_line(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, board(port := taken.getsockname()[1], redis_url) as process:
        _, output = process.communicate(timeout=30)
        assert process.returncode == 1
    assert f"board.port: 127.0.0.1:{port} cannot be used" in output
    assert "Traceback" not in output


def test_it_refuses_to_be_open_to_a_network_by_accident(redis_url: str) -> None:
    with board(0, redis_url, SALESPULSE_BOARD__HOST="0.0.0.0") as process:  # noqa: S104 -- what it refuses
        _, output = process.communicate(timeout=30)
        assert process.returncode == 2
    assert "board.host = 0.0.0.0: is open to a network; allowed: 127.0.0.1 while nobody has to sign in" in output
    assert "Traceback" not in output


def test_it_warns_when_it_is_open_to_a_network_on_purpose(redis_url: str) -> None:
    everywhere = {"SALESPULSE_BOARD__HOST": "0.0.0.0", "SALESPULSE_BOARD__ANONYMOUS": "read"}  # noqa: S104
    with board(0, redis_url, **everywhere) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if '"level": "warning"' in line)
        assert "may read without signing in (board.anonymous)" in line


GARBAGE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer 0123456789abcdef\x01\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n0123456789abcdef\r\n\r\n",
    b"\x16\x03\x01 0123456789abcdef\r\n\r\n",
    b"GET /0123456789abcdef" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
)


def test_what_is_no_request_is_a_problem_and_is_not_logged(redis_url: str) -> None:
    with board(0, redis_url) as process:
        port = int(address(process.stderr).rstrip("/").rpartition(":")[2])
        for sent in GARBAGE:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
                connection.sendall(sent)
                head, _, body = b"".join(iter(partial(connection.recv, 65536), b"")).partition(b"\r\n\r\n")
            assert b" 400 Bad Request" in head.splitlines()[0]
            assert b"application/problem+json" in head
            assert b"X-Content-Type-Options: nosniff" in head
            assert json.loads(body)["status"] == 400
            assert b"0123456789abcdef" not in head + body
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=30)
        assert process.returncode == 0
    assert "0123456789abcdef" not in output
