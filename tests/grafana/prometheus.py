"""A real Prometheus for tests: its process, and what it answers."""

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.grafana.queries import Json
from tests.rules.programs import program

SECONDS_TO_START = 60

Ask = Callable[[str], list[Json]]


@contextmanager
def running_prometheus(folder: Path) -> Iterator[str]:
    """The address of a Prometheus with the configuration in a folder."""
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:0",
    ]
    log = folder / "log"
    with log.open("w", encoding="utf-8") as lines, subprocess.Popen(command, stderr=lines) as process:
        try:
            deadline = time.monotonic() + SECONDS_TO_START
            while "Server is ready to receive web requests" not in log.read_text(encoding="utf-8"):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.05)
            found = re.search(r'msg="Listening on" address=(\S+)', log.read_text(encoding="utf-8"))
            assert found
            yield found[1]
        finally:
            process.terminate()


def instant(address: str, expression: str, at: float | None = None) -> list[Json]:
    """The series that a query finds now, or at an instant in seconds since 1970."""
    asked = {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"})
    data = urllib.parse.urlencode(asked).encode()
    with urllib.request.urlopen(f"http://{address}/api/v1/query", data, timeout=30) as answer:
        body: Json = json.load(answer)
    result: list[Json] = body["data"]["result"]
    return result


def wait_for(query: Ask, expression: str) -> None:
    """Return as soon as a query finds anything; fails after a while."""
    deadline = time.monotonic() + SECONDS_TO_START
    while not query(expression):
        assert time.monotonic() < deadline, f"no answer to {expression}"
        time.sleep(0.2)
