"""The machine: which core runs what, and what a process has used."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

ROUNDS = 1_000_000
ALLOWED = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset[int]()
"""The cores that this process was given, before it pinned itself to some of them."""


def cores() -> tuple[set[int], set[int]]:
    """One core for what is measured, and the others for everything else; on a single core both are that one."""
    if not ALLOWED:
        return set(), set()
    first, *others = sorted(ALLOWED)
    return {first}, set(others) or {first}


@contextmanager
def pinned(to: set[int]) -> Iterator[None]:
    """Processes that are started within the block run on these cores only; an empty set pins nothing."""
    if not to:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, to)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def resident_mib(pid: int | None = None) -> float:
    """The memory that a process, by default this one, has resident."""
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def warm_memory(size: int) -> None:
    """Touch so many bytes in a process of their own, and free them.

    The host of a virtual machine may have taken back what was free: a page then costs 12 us, not 2.
    """
    subprocess.run([sys.executable, "-c", f"b'x' * {size}"], check=True)


def speed() -> float:
    """Nanoseconds of CPU for a round of a loop that adds, the best of five runs: how fast the machine is just now."""
    return min(_rounds() for _ in range(5)) / ROUNDS * 1e9


def described() -> str:
    """The machine in a line."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, {platform.system()} "
        f"{platform.machine()}, Python {platform.python_version()}, load {load}, {speed():.0f} ns a loop"
    )


def _rounds() -> float:
    started, total = time.process_time(), 0
    for number in range(ROUNDS):
        total += number
    return time.process_time() - started
