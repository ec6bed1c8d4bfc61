"""What `salespulse simulate` and `salespulse import csv` do: to standard output, or straight into Kafka."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from config.clock import Clock
from config.load_policy import load_policy
from config.settings import Settings
from processors.core.instants import DAY_US, SECOND_US, instant_us, rfc3339
from processors.core.quality import quality_lines
from processors.core.replay import Replay
from processors.core.windows import ALL
from processors.ingest.csv_import import CsvImport, ImportReport, in_order_of_time
from processors.ingest.faults import Faults, with_faults
from processors.ingest.lateness import Lateness
from processors.ingest.mapping import load_mapping
from processors.ingest.simulate import Simulator
from processors.kafka.bulk_producer import SendProgress, produce, write_lines
from processors.kafka.pacing import FullSpeed, Live, Pace, Steady
from processors.kafka.timed_messages import TimedMessage, from_events, from_messages
from schemas.errors import UsageError
from schemas.events import Message, RepUpdated

T = TypeVar("T")

TOLD_EVERY = 1000
"""Messages between two steps of a progress bar."""


class SimulateOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What to simulate. Instants are microseconds since 1970."""

    start_us: int
    until_us: int | None = None
    """The last instant; None with no `count`: for ever."""
    count: int | None = None
    """Events at most."""
    seed: int = 1
    reps: int = 24
    customers: int | None = None
    intensity: float = 1.0
    rate: float | None = None
    """Events a second, evenly; None: as fast as possible."""
    live: bool = False
    """Each event when the clock shows its instant; history leaves at once."""
    faults: Faults = Faults()


class Target(msgspec.Struct, frozen=True):
    """Where messages go: a stream that takes lines, or Kafka."""

    settings: Settings
    stream: BinaryIO | None = None
    warnings: list[str] = []
    """What the sender should know afterwards, a line each."""
    quality: list[str] = []
    """What is wrong with what was sent, for people."""

    def send_reps(self, reps: Iterable[RepUpdated]) -> SendProgress:
        """Entries of the directory; raises Unavailable, UsageError."""
        return self._send(self.settings.kafka.reps_topic, from_messages(reps), FullSpeed())

    def send_events(self, outgoing: Iterable[TimedMessage], pace: Pace, lateness: Lateness) -> SendProgress:
        """Events, as `lateness` has watched them; raises Unavailable, UsageError."""
        delivery = self._send(self.settings.kafka.events_topics[0], outgoing, pace)
        if self.stream is None:  # lines may be for a replay, which refuses nothing for its instant
            self.warnings.extend(lateness.warnings())
        return delivery

    def _send(self, topic: str, outgoing: Iterable[TimedMessage], pace: Pace) -> SendProgress:
        if self.stream is not None:
            return write_lines(outgoing, self.stream, pace)
        return produce(self.settings.kafka, topic, outgoing, pace)


def simulation(target: Target, options: dict[str, Any]) -> SimulateOptions:
    """What the command line's options ask for: the 30 days before now, unless they say otherwise.

    A number of events may reach into the future on a stream; in Kafka workers would refuse what does.
    """
    faults = Faults(**{name: options.pop(name) for name in ("disorder", "duplicates", "malformed")})
    now_us = Clock(target.settings.clock).now_us()
    start_us, until_us = options.pop("start"), options.pop("until")
    start_us = now_us - 30 * DAY_US if start_us is None else start_us
    if until_us is None and not options["live"] and (options["count"] is None or target.stream is None):
        until_us = now_us
    return SimulateOptions(start_us=start_us, until_us=until_us, faults=faults, **options)


def run_simulate(options: SimulateOptions, target: Target) -> SendProgress:
    """The team's directory and then its events; what became of the events. Raises UsageError, Unavailable."""
    simulator = Simulator(
        options.seed,
        options.start_us,
        reps=options.reps,
        customers=options.customers,
        intensity=options.intensity,
    )
    pace = _pace(options, target.settings)
    if options.until_us is not None and options.until_us < options.start_us:
        raise UsageError(f"until {rfc3339(options.until_us)} is before start {rfc3339(options.start_us)}")
    lateness = Lateness(target.settings, live=options.live)
    events = lateness.watch(simulator.timed(options.until_us))
    outgoing = with_faults(from_events(events), options.faults, options.seed)
    target.send_reps(simulator.directory())
    with _shown("events", options.count) as shown:
        delivery = target.send_events(shown(islice(outgoing, options.count)), pace, lateness)
    target.warnings.extend(_too_few(options, delivery))
    return delivery


def _too_few(options: SimulateOptions, delivery: SendProgress) -> Iterator[str]:
    if options.count is not None and options.until_us is not None and delivery.sent < options.count:
        start, until = (rfc3339(at_us - at_us % SECOND_US) for at_us in (options.start_us, options.until_us))
        yield (
            f"from {start} until {until} there are fewer than the {options.count:,} events asked for: "
            "an earlier --start, more --reps or a higher --intensity give more"
        )


def run_import_csv(
    files: Iterable[Path], mapping: Path, target: Target, *, strict: bool = False, allow_skipped: bool = False
) -> ImportReport:
    """All rows of the files as messages, oldest first; what became of the rows. Raises UsageError, Unavailable.

    Nothing is sent when most rows were skipped, unless that is allowed.
    """
    files = list(files)
    _refuse_twice(files)
    imported = CsvImport(load_mapping(mapping), strict=strict)
    with _shown("events read", None) as shown:
        messages = in_order_of_time(shown(message for path in files for message in imported.messages(path)))
    if imported.report.is_mostly_skipped and not allow_skipped:
        return imported.report
    target.quality.extend(_quality_lines(messages, target.settings))
    reps = [message for message in messages if isinstance(message, RepUpdated)]
    events = [message for message in messages if not isinstance(message, RepUpdated)]
    if reps:
        target.send_reps(reps)
    if events:
        lateness = Lateness(target.settings)
        with _shown("events sent", len(events)) as shown:
            timed = ((instant_us(event.occurred_at), event) for event in shown(events))
            target.send_events(from_events(lateness.watch(timed)), FullSpeed(), lateness)
    return imported.report


def _quality_lines(messages: Sequence[Message], settings: Settings) -> Iterator[str]:
    """What will be wrong with the events by the policy, as the board counts it."""
    run = Replay(load_policy(settings.policy.path))
    for message in messages:
        run.take(message)
    return quality_lines(run.quality()[ALL], run.counts["read"])


def _refuse_twice(files: Iterable[Path]) -> None:
    seen: set[Path] = set()
    for path in files:
        if path.resolve() in seen:
            raise UsageError(f"{path}: the file is named twice, and each of its events would be sent twice")
        seen.add(path.resolve())


def _pace(options: SimulateOptions, settings: Settings) -> Pace:
    if options.live and options.rate is not None:
        raise UsageError("--rate and --live exclude each other: events leave evenly, or when they occur")
    if options.live:
        return Live(Clock(settings.clock))
    return FullSpeed() if options.rate is None else Steady(options.rate)


class _Bar:
    """Passes things on and moves a progress bar with them."""

    def __init__(self, progress: Progress, what: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=total)

    def __call__(self, things: Iterable[T]) -> Iterator[T]:
        number = 0
        for number, thing in enumerate(things, 1):
            yield thing
            if number % TOLD_EVERY == 0:
                self._progress.update(self._task, completed=number)
        self._progress.update(self._task, completed=number)


@contextmanager
def _shown(what: str, total: int | None) -> Iterator[_Bar]:
    """A progress bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield _Bar(progress, what, total)
