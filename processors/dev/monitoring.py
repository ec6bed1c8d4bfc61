"""Prometheus and Alertmanager beside a run without containers, with the shipped files, if they are on PATH."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from config.alertmanager import native as alertmanager_files
from config.prometheus import native as prometheus_files
from processors.dev.process import LOOPBACK, ChildProcess, free_port, require_free_port
from processors.dev.scrape import get

PROMETHEUS = "prometheus"
ALERTMANAGERS = ("prometheus-alertmanager", "alertmanager")
READY_SECONDS = 30.0
INTERVAL_SECONDS = 5


class Monitoring(msgspec.Struct, frozen=True):
    """What runs: the ports, None for a program that is not on PATH, and the processes."""

    prometheus_port: int | None
    alertmanager_port: int | None
    processes: tuple[ChildProcess, ...]


class MonitoringPorts(msgspec.Struct, frozen=True):
    """Where they listen on loopback; 0 takes any free port."""

    prometheus: int = 0
    alertmanager: int = 0


@contextmanager
def monitoring(
    directory: Path,
    targets: Mapping[str, Sequence[str]],
    ports: MonitoringPorts,
) -> Iterator[Monitoring]:
    """Start what is on PATH for the length of a block; `targets` are `host:port` lists by job: board, worker.

    Raises Unavailable for a taken port, or when a program does not start.
    """
    with ExitStack() as stack:
        alerting = _start_alertmanager(stack, directory / "alertmanager", ports.alertmanager)
        alertmanagers = [f"{LOOPBACK}:{alerting[0]}"] if alerting else []
        scraping = _start_prometheus(
            stack,
            directory / "prometheus",
            ports.prometheus,
            {**targets, "alertmanager": alertmanagers},
        )
        running = [started for started in (scraping, alerting) if started]
        yield Monitoring(
            scraping[0] if scraping else None,
            alerting[0] if alerting else None,
            tuple(process for _, process in running),
        )


Started = tuple[int, ChildProcess]
"""The port and the process."""


def _start_alertmanager(stack: ExitStack, directory: Path, port: int) -> Started | None:
    program = next(filter(None, map(shutil.which, ALERTMANAGERS)), None)
    if program is None:
        return None
    chosen = _chosen(port)
    config = _written(directory / "alertmanager.yml", alertmanager_files.render({}))
    options = [f"--config.file={config}", f"--storage.path={directory / 'data'}", "--cluster.listen-address="]
    return chosen, _start(stack, "Alertmanager", [program, *options], directory, chosen)


def _start_prometheus(
    stack: ExitStack, directory: Path, port: int, targets: Mapping[str, Sequence[str]]
) -> Started | None:
    program = shutil.which(PROMETHEUS)
    if program is None:
        return None
    chosen = _chosen(port)
    targets = {**targets, "prometheus": [f"{LOOPBACK}:{chosen}"]}
    config = _written(directory / "prometheus.yml", prometheus_files.render(targets, INTERVAL_SECONDS))
    options = [f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"]
    return chosen, _start(stack, "Prometheus", [program, *options], directory, chosen)


def _start(stack: ExitStack, name: str, command: Sequence[str], directory: Path, port: int) -> ChildProcess:
    listen = f"--web.listen-address={LOOPBACK}:{port}"
    process = stack.enter_context(ChildProcess(name, [*command, listen], directory / "output.log"))
    process.wait_ready(partial(_ready, port), READY_SECONDS)
    return process


def _ready(port: int) -> bool:
    return get(port, "/-/ready") is not None


def _chosen(port: int) -> int:
    require_free_port(LOOPBACK, port)
    return port or free_port()


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
