"""Processes of Salespulse under a supervisor that starts them again, and notes every exit that nobody asked for."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from config.settings import Settings, as_environment
from processors.dev.metrics_page import MetricsPage, get
from processors.dev.process import ChildProcess

Command = Literal["worker", "board", "notifier"]

STOP_SECONDS = 45.0
"""Longer than a worker gives itself: what is cut off then does hang."""
RESTART_SECONDS = 1.0

Note = Callable[[str], None]


class Service:
    """One process that is to run, or not to."""

    def __init__(self, name: str, command: Command, settings: Settings, port: int, log_path: Path) -> None:
        """`port`: where it serves its metrics."""
        self.name = name
        self.port = port
        self.log_path = log_path
        self.kills = 0
        """How often it was killed, or stopped for so long that others took over."""
        self._command = [sys.executable, "-m", "processors.commands.cli", command]
        others = {key: value for key, value in os.environ.items() if not key.startswith("SALESPULSE_")}
        self._environment = others | as_environment(settings)
        self._process: ChildProcess | None = None
        self._wanted = False
        self._restart_at: float | None = None

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.exit_code is None

    def start(self) -> None:
        """Start it; it is not ready yet. From now on an exit is noted."""
        self._process = ChildProcess(self.name, self._command, self.log_path, self._environment)
        self._wanted = True
        self._restart_at = None

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._wanted = False
        self.kills += 1
        if self._process is not None:
            self._process.kill()

    def stop(self) -> str | None:
        """End it in order; what was wrong with its end, or None."""
        self._wanted = False
        if self._process is None or self._process.exit_code is not None:
            return None
        code = self._process.stop(STOP_SECONDS)
        return (
            None if code == 0 else f"{self.name} was asked to end, and ended with exit code {code}{self._last_words()}"
        )

    def pause(self) -> None:
        """Stop it as a machine that hangs does."""
        self.kills += 1
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def supervise(self) -> str | None:
        """Start it again after an exit that nobody asked for; gives what there is to note."""
        if not self._wanted or self.runs or self._process is None:
            return None
        if self._restart_at is None:
            self._restart_at = time.monotonic() + RESTART_SECONDS
            return f"{self.name} ended by itself with exit code {self._process.exit_code}{self._last_words()}"
        if time.monotonic() >= self._restart_at:
            self.start()
        return None

    def page(self) -> MetricsPage:
        """Its metrics; none while it does not answer."""
        return MetricsPage(get(self.port, "/metrics") or "")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send(number)

    def _last_words(self) -> str:
        """The last line of its log that says why."""
        if self._process is None:
            return ""
        lines = [line for line in self._process.log_tail().splitlines() if "ERROR" in line or "Error" in line]
        return f" ({lines[-1]})" if lines else ""
