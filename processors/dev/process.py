"""A child process under supervision: its output in a file, readiness with a deadline, and nothing left behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from schemas.errors import Unavailable

T = TypeVar("T")

DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")
LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.02
STOP_TIMEOUT_SECONDS = 15.0
LOG_TAIL_BYTES = 2000
PORT_TRIES = 5


class ChildProcess:
    """A running program. It gets no signals from our terminal, and the kernel ends it when we end (Linux).

    Start it from a thread that lives as long as it should: the kernel ties it to that thread.
    """

    def __init__(self, name: str, command: Sequence[str], log_path: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            self._popen = subprocess.Popen(
                [sys.executable, "-I", "-S", str(DIE_WITH_PARENT), str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._popen.poll()

    def wait_ready(self, ready: Callable[[], bool], within_seconds: float, poll_seconds: float = POLL_SECONDS) -> None:
        """Return once `ready()` is true; raises Unavailable with the log's end if it dies first or takes too long."""
        deadline = time.monotonic() + within_seconds
        while not (ready() and self.exit_code is None):
            self.raise_if_ended()
            if time.monotonic() > deadline:
                raise Unavailable(f"{self.name} is not ready after {within_seconds:g} s {self._last_line()}")
            time.sleep(poll_seconds)

    def raise_if_ended(self) -> None:
        """Raise Unavailable with the log's end if it does not run any more."""
        if self.exit_code is not None:
            raise Unavailable(f"{self.name} ended with exit code {self.exit_code} {self._last_line()}")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.exit_code is None:
            self._popen.send_signal(number)

    def stop(self, within_seconds: float = STOP_TIMEOUT_SECONDS) -> int:
        """Ask it to end and wait, then force it; returns its exit code. Does nothing if it has ended."""
        self.send(signal.SIGCONT)  # a stopped process would never hear the next one
        self.send(signal.SIGTERM)
        try:
            return self._popen.wait(within_seconds)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End it at once, as a crash would; returns its exit code."""
        self.send(signal.SIGKILL)
        return self._popen.wait()

    def log_tail(self) -> str:
        """The end of what it wrote."""
        return self.log_path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _last_line(self) -> str:
        lines = self.log_tail().splitlines()
        return f"({self.log_path}: {lines[-1] if lines else 'it wrote nothing'})"


def free_port() -> int:
    """A port on loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def port_is_free(host: str, port: int) -> bool:
    """Whether something could listen there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def require_free_port(host: str, port: int) -> None:
    """Raise Unavailable if something listens there; 0 is always free."""
    if port and not port_is_free(host, port):
        raise Unavailable(f"port {port} on {host} is taken; choose another one, or 0 for any that is free")


def on_free_port(start: Callable[[int], T], port: int = 0) -> T:
    """What `start` makes of this port, or for 0 of a free one; raises Unavailable.

    Another process may take a free port in between: then another one is tried.
    """
    if port:
        require_free_port(LOOPBACK, port)
        return start(port)
    for _ in range(PORT_TRIES - 1):
        candidate = free_port()
        try:
            return start(candidate)
        except Unavailable:
            if port_is_free(LOOPBACK, candidate):
                raise
    return start(free_port())
