"""The command: serves until it is told to stop, and says in one line what is wrong."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO
from urllib.request import urlopen

COMMAND = [sys.executable, "-c", "from processors.cli import main; main()", "board"]


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
    return line.split()[-1]


def test_it_says_where_it_is_and_stops_when_told(redis_url: str) -> None:
    with board(0, redis_url) as process:
        place = address(process.stderr)
        with urlopen(f"{place}healthz", timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_it_listens_on_loopback_unless_told_otherwise(redis_url: str) -> None:
    with board(0, redis_url) as process:
        assert address(process.stderr).startswith("http://127.0.0.1:")


def test_a_taken_port_is_one_clear_line(redis_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, board(port := taken.getsockname()[1], redis_url) as process:
        _, said = process.communicate(timeout=30)
        assert process.returncode == 1
    assert f"board.port: 127.0.0.1:{port} cannot be used" in said
    assert "Traceback" not in said


def test_it_refuses_to_be_open_to_a_network_by_accident(redis_url: str) -> None:
    with board(0, redis_url, SALESPULSE_BOARD__HOST="0.0.0.0") as process:  # noqa: S104 -- what it refuses
        _, said = process.communicate(timeout=30)
        assert process.returncode == 2
    assert "board.host = 0.0.0.0: allowed is 127.0.0.1 while nobody has to sign in" in said
    assert "Traceback" not in said


def test_it_warns_when_it_is_open_to_a_network_on_purpose(redis_url: str) -> None:
    everywhere = {"SALESPULSE_BOARD__HOST": "0.0.0.0", "SALESPULSE_BOARD__ANONYMOUS": "read"}  # noqa: S104
    with board(0, redis_url, **everywhere) as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "WARNING" in line)
        assert "may read without signing in (board.anonymous)" in line
