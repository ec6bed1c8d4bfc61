"""A child process is waited for with a deadline, reported on in one line, and never left behind."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from processors.dev.process import ChildProcess, free_port, on_free_port, port_is_free, require_free_port
from schemas.errors import Unavailable

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEADLINE_SECONDS = 30.0


def started(tmp_path: Path, command: list[str]) -> ChildProcess:
    """A child that logs to the test's directory."""
    return ChildProcess("the child", command, tmp_path / "child.log")


def test_it_is_ready_when_the_probe_says_so_and_gone_after_the_block(tmp_path: Path) -> None:
    with started(tmp_path, SLEEPER) as child:
        child.wait_ready(lambda: "up" in child.log_tail(), DEADLINE_SECONDS)
        assert child.exit_code is None
    assert child.exit_code is not None
    assert not psutil.pid_exists(child.pid)


def test_a_child_that_dies_first_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = started(tmp_path, [sys.executable, "-c", "raise SystemExit('no such thing')"])
    with pytest.raises(Unavailable, match=r"the child ended with exit code 1 \(.*child.log: no such thing\)"):
        child.wait_ready(lambda: False, DEADLINE_SECONDS)


def test_a_child_that_takes_too_long_is_told(tmp_path: Path) -> None:
    with (
        started(tmp_path, SLEEPER) as child,
        pytest.raises(Unavailable, match=r"the child is not ready after 0.1 s"),
    ):
        child.wait_ready(lambda: False, 0.1)


def test_a_child_that_ignores_the_request_to_end_is_forced(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    child = started(tmp_path, [sys.executable, "-c", deaf])
    child.wait_ready(lambda: "up" in child.log_tail(), DEADLINE_SECONDS)
    assert child.stop(within_seconds=0.1) == -9


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from processors.dev.process import ChildProcess;"
        f"print(ChildProcess('c', {SLEEPER!r}, Path(sys.argv[1])).pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "child.log")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    with parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    assert ended(child)


def ended(process: psutil.Process) -> bool:
    """Whether it ends before the deadline; one that nobody has reaped yet has ended."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_another_port_is_tried_when_somebody_was_faster() -> None:
    tried = []
    with socket.socket() as rival:

        def start(port: int) -> int:
            tried.append(port)
            if len(tried) == 1:
                rival.bind(("127.0.0.1", port))
                rival.listen()
                raise Unavailable("the port is taken")
            return port

        assert on_free_port(start) == tried[1]
        assert not port_is_free("127.0.0.1", tried[0])


def test_another_port_does_not_mend_another_fault() -> None:
    tried = []

    def start(port: int) -> int:
        tried.append(port)
        raise Unavailable("broken")

    with pytest.raises(Unavailable, match="broken"):
        on_free_port(start)
    assert len(tried) == 1


def test_a_free_port_is_free() -> None:
    require_free_port("127.0.0.1", free_port())
    require_free_port("127.0.0.1", 0)


def test_a_program_of_ours_on_a_port_that_a_rival_answers_on_is_not_taken_for_ready(tmp_path: Path) -> None:
    child = started(tmp_path, [sys.executable, "-c", "raise SystemExit('address in use')"])
    with pytest.raises(Unavailable, match="address in use"):
        child.wait_ready(lambda: child.exit_code is not None, DEADLINE_SECONDS)
