"""Progress over time: samples of what was done, and the rate between two points of it.

Rates come in two kinds: events a second, as the wall's clock saw them, and CPU seconds per million events, which other
work on the machine disturbs far less.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import msgspec

SAMPLE_SECONDS = 0.2


class Sample(msgspec.Struct, frozen=True):
    """How many events were done at an instant, and what CPU time the process had used by then."""

    wall_seconds: float
    cpu_seconds: float
    events: int


class Rate(msgspec.Struct, frozen=True):
    """What happened between two samples."""

    events: int
    wall_seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        """Events a second by the wall."""
        return self.events / self.wall_seconds

    @property
    def cpu_per_million(self) -> float:
        """CPU seconds per million events."""
        return self.cpu_seconds / self.events * 1e6

    @property
    def per_cpu_second(self) -> float:
        """Events a second of CPU: what a core that does nothing else would do."""
        return self.events / self.cpu_seconds


def rate(samples: Iterable[Sample], total: int, low: float, high: float) -> Rate:
    """The rate from the first sample at or above a share of the total to the last one at or below another."""
    inside = [sample for sample in samples if low * total <= sample.events <= high * total]
    if len(inside) < 2 or inside[-1].events == inside[0].events:
        raise ValueError(f"too few samples of {total} events between {low:.0%} and {high:.0%}: take more events")
    first, last = inside[0], inside[-1]
    return Rate(
        last.events - first.events, last.wall_seconds - first.wall_seconds, last.cpu_seconds - first.cpu_seconds
    )


class OwnMeter:
    """Writes samples of this process to a file from a thread, one JSON line each."""

    def __init__(self, path: Path, count: Callable[[], int]) -> None:
        self._path = path
        self._count = count
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Write the last sample and end."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        with self._path.open("wb") as out:
            self._write(out)
            while not self._done.wait(SAMPLE_SECONDS):
                self._write(out)
            self._write(out)

    def _write(self, out: IO[bytes]) -> None:
        out.write(msgspec.json.encode(Sample(time.monotonic(), time.process_time(), self._count())) + b"\n")
        out.flush()


def read_samples(path: Path) -> list[Sample]:
    """The samples that an OwnMeter wrote."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [msgspec.json.decode(line, type=Sample) for line in lines]
