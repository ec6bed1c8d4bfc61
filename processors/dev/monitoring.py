"""Prometheus and Alertmanager with the shipped files, if they are on PATH, for a run without containers."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

import msgspec

from config.alertmanager import native as alertmanager_files
from config.prometheus import native as prometheus_files
from processors.dev.metrics_page import get
from processors.dev.process import LOOPBACK, ChildProcess, free_port, require_free_port

PROMETHEUS = "prometheus"
ALERTMANAGERS = ("prometheus-alertmanager", "alertmanager")
READY_TIMEOUT_SECONDS = 30.0
INTERVAL_SECONDS = 5
NO_WEBHOOKS: Mapping[str, str] = MappingProxyType({})


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
    webhooks: Mapping[str, str] = NO_WEBHOOKS,
    interval_seconds: int = INTERVAL_SECONDS,
) -> Iterator[Monitoring]:
    """Start what is on PATH for the length of a block; `targets` are `host:port` lists by job: board, worker, notifier.

    `webhooks`: an URL for each receiver of Alertmanager that shall call one; `interval_seconds`: between two scrapes.
    Raises Unavailable for a taken port, or when a program does not start.
    """
    with ExitStack() as stack:
        alerting = _start_alertmanager(stack, directory / "alertmanager", ports.alertmanager, webhooks)
        alertmanagers = [f"{LOOPBACK}:{alerting[0]}"] if alerting else []
        scraping = _start_prometheus(
            stack,
            directory / "prometheus",
            ports.prometheus,
            ({**targets, "alertmanager": alertmanagers}, interval_seconds),
        )
        running = [started for started in (scraping, alerting) if started]
        yield Monitoring(
            scraping[0] if scraping else None,
            alerting[0] if alerting else None,
            tuple(process for _, process in running),
        )


Started = tuple[int, ChildProcess]
"""The port and the process."""


def _start_alertmanager(stack: ExitStack, directory: Path, port: int, webhooks: Mapping[str, str]) -> Started | None:
    program = next(filter(None, map(shutil.which, ALERTMANAGERS)), None)
    if program is None:
        return None
    chosen = _chosen(port)
    config = _written(directory / "alertmanager.yml", alertmanager_files.render(webhooks))
    options = [f"--config.file={config}", f"--storage.path={directory / 'data'}", "--cluster.listen-address="]
    return chosen, _start(stack, "Alertmanager", [program, *options], directory, chosen)


def _start_prometheus(
    stack: ExitStack, directory: Path, port: int, scrapes: tuple[Mapping[str, Sequence[str]], int]
) -> Started | None:
    program = shutil.which(PROMETHEUS)
    if program is None:
        return None
    chosen = _chosen(port)
    targets = {**scrapes[0], "prometheus": [f"{LOOPBACK}:{chosen}"]}
    config = _written(directory / "prometheus.yml", prometheus_files.render(targets, scrapes[1]))
    options = [f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"]
    return chosen, _start(stack, "Prometheus", [program, *options], directory, chosen)


def _start(stack: ExitStack, name: str, command: Sequence[str], directory: Path, port: int) -> ChildProcess:
    listen = f"--web.listen-address={LOOPBACK}:{port}"
    process = stack.enter_context(ChildProcess(name, [*command, listen], directory / "output.log"))
    process.wait_ready(partial(_ready, port), READY_TIMEOUT_SECONDS)
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
