"""`salespulse demo`: the whole stack on this machine with a simulated team."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import FrameType

import msgspec
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from config.clock import Clock, wall_us
from config.load_policy import load_policy
from config.settings import Settings, as_environment
from config.toml_writer import as_toml
from processors.dev.alert_inbox import AlertInbox, inbox, with_inbox
from processors.dev.broker import embedded_broker
from processors.dev.demo_messages import (
    DemoAddresses,
    DemoOutcome,
    alert,
    counted,
    introduction,
    read_numbers,
    summary,
    ticker,
)
from processors.dev.demo_settings import DemoOptions, check_options, demo_settings, live_origin_us, with_clock
from processors.dev.metrics_page import get, metrics
from processors.dev.monitoring import Monitoring, MonitoringPorts, monitoring
from processors.dev.process import LOOPBACK, ChildProcess
from processors.dev.redis_server import embedded_redis
from processors.dev.simulated_team import SimulatedTeam, TeamOptions
from processors.kafka.topics import ensure_topics
from schemas.errors import SalespulseError, Unavailable

READY_TIMEOUT_SECONDS = 60.0
MIN_EVENTS_PER_SECOND = 1000
"""A worker that reads the history more slowly than this on top of READY_TIMEOUT_SECONDS has a fault."""
POLL_SECONDS = 0.2
TICK_SECONDS = 1.0
INTERRUPTED = 130


class Running(msgspec.Struct, frozen=True):
    """The stack, once everything answers."""

    addresses: DemoAddresses
    processes: tuple[ChildProcess, ...]
    clock: Clock
    team: SimulatedTeam
    inbox: AlertInbox
    history_events: int
    history_seconds: float


def run_demo(settings: Settings, options: DemoOptions, console: Console) -> int:
    """Run the demo; gives the exit code, 0 also after Ctrl-C once it was running.

    Policy, retention and alert settings hold as given; broker, Redis and clock are the demo's own. Nothing is left
    behind, but for the logs when something fails. Raises UsageError for options that make no sense, ConfigError for a
    wrong policy, Unavailable for a taken port or a part that fails.
    """
    check_options(options)
    load_policy(settings.policy.path)  # fail now: the worker reads it only after the history is sent
    directory = Path(tempfile.mkdtemp(prefix="salespulse-demo-"))
    try:
        with _one_interrupt(), ExitStack() as stack:
            running = _start(stack, settings, options, directory, console)
            _live(running, options, console)
    except KeyboardInterrupt:
        console.print("stopped before it was running")
        shutil.rmtree(directory)
        return INTERRUPTED
    except BrokenPipeError:
        shutil.rmtree(directory)
        raise
    except SalespulseError as error:
        raise Unavailable(f"{error}; logs are in {directory}") from error
    shutil.rmtree(directory)
    return 0


def _start(stack: ExitStack, given: Settings, options: DemoOptions, directory: Path, console: Console) -> Running:
    """Start everything, what stops last first, and wait until the history is counted."""
    broker = stack.enter_context(embedded_broker(directory, options.broker_port))
    redis = stack.enter_context(embedded_redis(directory, options.redis_port))
    settings = demo_settings(given, options, directory, (broker.bootstrap, redis.url))
    ensure_topics(settings)
    origin_us = live_origin_us(wall_us())
    team = SimulatedTeam(settings.kafka, TeamOptions(options.seed, options.reps, options.days), origin_us)
    with _progress(console) as progress:
        sent = _send_history(team, options.days, progress)
        settings = with_clock(settings, origin_us, options.speed)
        clock, began = Clock(settings.clock), time.monotonic()
        worker, board = (_child(stack, name, settings, directory) for name in ("worker", "board"))
        stack.callback(team.stop)
        team.start_live(clock)
        _wait_until_counted(worker, settings.worker.metrics_port, sent, progress)
        seconds = time.monotonic() - began
        board.wait_ready(lambda: get(settings.board.port, "/readyz") is not None, READY_TIMEOUT_SECONDS, POLL_SECONDS)
    watching = stack.enter_context(_monitoring(settings, options, directory))
    received = stack.enter_context(inbox())
    notifier = _child(stack, "notifier", with_inbox(settings, received.url, watching.alertmanager_port), directory)
    port = settings.notifier.metrics_port
    notifier.wait_ready(lambda: get(port, "/metrics") is not None, READY_TIMEOUT_SECONDS, POLL_SECONDS)
    processes = (broker.process, redis.process, worker, board, notifier, *watching.processes)
    return Running(_addresses_of(settings, watching, directory), processes, clock, team, received, sent, seconds)


def _monitoring(settings: Settings, options: DemoOptions, directory: Path) -> AbstractContextManager[Monitoring]:
    ports = {
        "board": settings.board.port,
        "worker": settings.worker.metrics_port,
        "notifier": settings.notifier.metrics_port,
    }
    targets = {name: [f"{LOOPBACK}:{port}"] for name, port in ports.items()}
    return monitoring(directory, targets, MonitoringPorts(options.prometheus_port, options.alertmanager_port))


def _addresses_of(settings: Settings, watching: Monitoring, directory: Path) -> DemoAddresses:
    """Where everything is; also for other commands, which find it by a settings file that is written here."""
    config = directory / "salespulse.toml"
    config.write_text(as_toml(settings), encoding="utf-8")
    board = settings.board.port
    return DemoAddresses(
        board=board,
        worker=settings.worker.metrics_port,
        notifier=settings.notifier.metrics_port,
        prometheus=watching.prometheus_port,
        alertmanager=watching.alertmanager_port,
        config=config,
        live_page=get(board, "/") is not None,
    )


def _child(stack: ExitStack, name: str, settings: Settings, directory: Path) -> ChildProcess:
    others = {key: value for key, value in os.environ.items() if not key.startswith("SALESPULSE_")}
    command = [sys.executable, "-m", "processors.commands.cli", name]
    return stack.enter_context(
        ChildProcess(f"the {name}", command, directory / f"{name}.log", others | as_environment(settings))
    )


def _send_history(team: SimulatedTeam, days: int, progress: Progress) -> int:
    task = progress.add_task(f"{days} days of history", total=1.0)
    sent = team.send_history(lambda share: progress.update(task, completed=share))
    progress.update(task, completed=1.0)
    return sent


def _wait_until_counted(worker: ChildProcess, port: int, events: int, progress: Progress) -> None:
    task = progress.add_task("the worker counts them", total=events)

    def done() -> bool:
        count = counted(metrics(port))
        progress.update(task, completed=count)
        return count >= events

    worker.wait_ready(done, READY_TIMEOUT_SECONDS + events / MIN_EVENTS_PER_SECOND, POLL_SECONDS)


def _live(running: Running, options: DemoOptions, console: Console) -> None:
    """Print what to open, run until the time is over or Ctrl-C, and print the result."""
    _print(console, introduction(running.addresses, options.reps, options.days, options.speed))
    began, sent_before = time.monotonic(), running.team.delivery.acknowledged
    try:
        _watch(running, options.seconds, sent_before, console)
    except KeyboardInterrupt:
        console.print("stopping")
    outcome = DemoOutcome(
        history_events=running.history_events,
        history_seconds=running.history_seconds,
        live_events=running.team.delivery.acknowledged - sent_before,
        live_seconds=time.monotonic() - began,
        alerts=running.inbox.fired,
        speed=options.speed,
    )
    _print(console, summary(outcome, read_numbers(running.addresses.board)))


def _print(console: Console, parts: Iterable[Text]) -> None:
    for part in parts:
        console.print(part, soft_wrap=True)


def _watch(running: Running, seconds: float | None, sent_before: int, console: Console) -> None:
    """Return after this many seconds; raises Unavailable as soon as a part fails."""
    end = None if seconds is None else time.monotonic() + seconds
    with _line(console) as line:
        while end is None or time.monotonic() < end:
            _raise_failure(running)
            _print(console, map(alert, running.inbox.drain_fired() if running.addresses.alertmanager is None else ()))
            if line is not None:
                sent = running.team.delivery.acknowledged - sent_before
                line.update(ticker(running.clock.now_us(), sent, read_numbers(running.addresses.board)), refresh=True)
            time.sleep(TICK_SECONDS if end is None else max(0.0, min(TICK_SECONDS, end - time.monotonic())))


def _raise_failure(running: Running) -> None:
    if running.team.failure is not None:
        raise running.team.failure
    for process in running.processes:
        process.raise_if_ended()


@contextmanager
def _line(console: Console) -> Iterator[Live | None]:
    """A line that changes in place, on a terminal only."""
    if not console.is_terminal:
        yield None
        return
    with Live(console=console, transient=True, auto_refresh=False) as line:
        yield line


def _progress(console: Console) -> Progress:
    """Bars on a terminal, nothing on a pipe."""
    columns = (TextColumn("{task.description:24}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    return Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """The first Ctrl-C or SIGTERM raises KeyboardInterrupt; further ones do not disturb the stopping."""
    raised = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
