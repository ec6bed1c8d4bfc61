"""Throughput of one worker process on one core, end to end, beside a naive Faust agent and the ceiling.

The broker and Redis are real processes on the other cores. All events are on the topic before anything starts, the
changelog and the read model are on. Each round runs the three one after the other, so that all of them meet the same
machine.
"""

import json
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.corpus import Corpus, corpus
from benchmarks.machine import cores, cpu_seconds, described, pinned, resident_mib, warm_memory
from benchmarks.meter import Rate, Sample, rate, read_samples
from benchmarks.stack import Stack, applied, fixed_clock, prepare, produce_events, running_stack, salespulse
from config.settings import Settings
from processors.dev.metrics_page import metrics
from processors.dev.process import ChildProcess
from schemas.errors import Unavailable

STEADY, WHOLE = (0.1, 0.95), (0.0, 1.0)
"""Between these shares of all events it is measured: start and end are not the steady state."""
BYTES_PER_EVENT = 1024
"""At most so much the worker's memory grows."""
PROFILE_LINES = 45
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 60.0
"""Without any progress for so long, a run has failed."""
NAIVE_TOPIC = "naive.events"
CONTENDERS = ("worker", "naive", "ceiling")


class Rounds(msgspec.Struct):
    """What each contender did in each round."""

    rates: dict[str, list[Rate]] = msgspec.field(default_factory=lambda: {name: [] for name in CONTENDERS})
    worker_mib: float = 0.0

    def middle(self, name: str, figure: Callable[[Rate], float]) -> float:
        """The median over the rounds."""
        return median(map(figure, self.rates[name]))

    def ratio(self, name: str, other: str, figure: Callable[[Rate], float]) -> float:
        """The median over the rounds of the quotient within a round."""
        pairs = zip(self.rates[name], self.rates[other], strict=True)
        return median(figure(one) / figure(another) for one, another in pairs)


class Bench:
    """A stack with the events on it, and the contenders."""

    def __init__(self, stack: Stack, mix: Corpus, naive_events: int, measured: tuple[float, float]) -> None:
        self._stack = stack
        self._mix = mix
        self._naive_events = min(naive_events, mix.events)
        self._measured = measured
        self._core = cores()[0]
        self._clock = fixed_clock(mix.end_us())
        self.rounds = Rounds()

    def fill(self) -> None:
        """Put all events on their topics."""
        settings = self._settings("fill")
        prepare(settings)
        produce_events(settings, self._mix.outgoing())
        naive = msgspec.structs.replace(
            settings, kafka=msgspec.structs.replace(settings.kafka, events_topics=(NAIVE_TOPIC,))
        )
        prepare(naive)
        produce_events(naive, self._mix.outgoing(self._naive_events))

    def run(self, number: int) -> None:
        """One round."""
        warm_memory(self._mix.events * BYTES_PER_EVENT)
        self._keep("worker", self._worker(f"round{number}"), self._mix.events)
        self._keep("naive", self._naive(f"naive{number}"), self._naive_events)
        self._keep("ceiling", self._ceiling(f"ceiling{number}"), self._mix.events)

    def _keep(self, name: str, samples: list[Sample], total: int) -> None:
        found = rate(samples, total, *self._measured)
        self.rounds.rates[name].append(found)
        click.echo(f"{name}: {found.per_second:,.0f} events/s, {found.cpu_per_million:.2f} CPU s per million", err=True)

    def profile(self, file: Path) -> None:
        """One worker under cProfile: where its main thread's time goes, by function."""
        self._keep("worker", self._worker("profiled", ("-m", "cProfile", "-o", str(file))), self._mix.events)
        pstats.Stats(str(file)).sort_stats("tottime").print_stats(PROFILE_LINES)

    def _worker(self, group: str, python: tuple[str, ...] = ()) -> list[Sample]:
        settings = self._settings(group)
        prepare(settings)
        with salespulse("worker", settings, self._core, python) as process:
            samples = _watch(process, self._mix.events, lambda: _sample(process, settings))
            self.rounds.worker_mib = resident_mib(process.pid)
        return samples

    def _naive(self, group: str) -> list[Sample]:
        file = self._stack.directory / f"{group}.samples"
        command = [*_module("naive"), "--group", group, "--topic", NAIVE_TOPIC, *self._reading(file)]
        with self._child(group, command) as process:
            return _watch(process, self._naive_events, lambda: _last(file)) and read_samples(file)

    def _ceiling(self, name: str) -> list[Sample]:
        file = self._stack.directory / f"{name}.samples"
        topic = self._settings(name).kafka.events_topics[0]
        command = [*_module("ceiling"), "--topic", topic, "--events", str(self._mix.events), *self._reading(file)]
        with self._child(name, command) as process:
            return _watch(process, self._mix.events, lambda: _last(file)) and read_samples(file)

    def _reading(self, file: Path) -> list[str]:
        kafka = self._settings("fill").kafka
        return ["--bootstrap", kafka.bootstrap, "--partitions", str(kafka.partitions), "--samples", str(file)]

    @contextmanager
    def _child(self, name: str, command: list[str]) -> Iterator[ChildProcess]:
        with pinned(self._core):
            process = ChildProcess(name, command, self._stack.directory / f"{name}.log")
        with process:
            yield process

    def _settings(self, group: str) -> Settings:
        return self._stack.settings(group, self._clock)


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{name}"]


def _watch(process: ChildProcess, total: int, sample: Callable[[], Sample | None]) -> list[Sample]:
    """Samples until all events are done; raises Unavailable when it ends before, or stands still."""
    samples: list[Sample] = []
    moved = time.monotonic()
    while not samples or samples[-1].events < total:
        time.sleep(POLL_SECONDS)
        new = sample()
        if new is not None and (not samples or new.events > samples[-1].events):
            samples.append(new)
            moved = time.monotonic()
        elif process.exit_code or time.monotonic() - moved > PATIENCE_SECONDS:
            done = samples[-1].events if samples else 0
            raise Unavailable(f"{process.name} stands still at {done} of {total} events: {process.log_tail()}")
    return samples


def _sample(process: ChildProcess, settings: Settings) -> Sample | None:
    page = metrics(settings.worker.metrics_port)
    return None if page is None else Sample(time.monotonic(), cpu_seconds(process.pid), applied(page))


def _last(file: Path) -> Sample | None:
    samples = read_samples(file)
    return samples[-1] if samples else None


def figures(rounds: Rounds) -> dict[str, object]:
    """All figures, for `--json`."""
    return {
        "machine": described(),
        "worker_mib": round(rounds.worker_mib),
        "worker_to_naive": rounds.ratio("worker", "naive", lambda rate: rate.per_second),
        "worker_to_ceiling": rounds.ratio("worker", "ceiling", lambda rate: rate.per_second),
        **{
            name: {
                "events_per_second": round(rounds.middle(name, lambda rate: rate.per_second)),
                "events_per_cpu_second": round(rounds.middle(name, lambda rate: rate.per_cpu_second)),
                "cpu_seconds_per_million": round(rounds.middle(name, lambda rate: rate.cpu_per_million), 3),
                "rounds": [round(rate.per_second) for rate in rounds.rates[name]],
            }
            for name in CONTENDERS
        },
    }


def show(rounds: Rounds, console: Console) -> None:
    """The table for people."""
    table = Table("", "events/s", "events per CPU s", "CPU s per million", "to the naive agent", "rounds, events/s")
    for name in CONTENDERS:
        table.add_row(
            name,
            f"{rounds.middle(name, lambda rate: rate.per_second):,.0f}",
            f"{rounds.middle(name, lambda rate: rate.per_cpu_second):,.0f}",
            f"{rounds.middle(name, lambda rate: rate.cpu_per_million):.2f}",
            f"{rounds.ratio(name, 'naive', lambda rate: rate.per_second):.1f} x",
            ", ".join(f"{rate.per_second:,.0f}" for rate in rounds.rates[name]),
        )
    console.print(table)
    console.print(f"{described()}; the worker has {rounds.worker_mib:,.0f} MiB resident at the end")


@click.command()
@click.option("--events", default=2_000_000, show_default=True, help="messages of the realistic mix")
@click.option("--naive-events", default=40_000, show_default=True, help="of these, what the naive agent takes")
@click.option("--rounds", default=3, show_default=True)
@click.option("--whole", is_flag=True, help="measure start and end too: for runs too short to have anything between")
@click.option("--profile", type=click.Path(path_type=Path), help="instead: one worker under cProfile, into this file")
@click.option("--json", "as_json", is_flag=True, help="figures for programs")
def main(events: int, naive_events: int, rounds: int, whole: bool, profile: Path | None, as_json: bool) -> None:
    """Events a second of one worker on one core, end to end."""
    mix = corpus(events)
    with (
        tempfile.TemporaryDirectory() as directory,
        pinned(cores()[1]),
        running_stack(Path(directory), cores()[1]) as stack,
    ):
        bench = Bench(stack, mix, naive_events, WHOLE if whole else STEADY)
        bench.fill()
        if profile is not None:
            bench.profile(profile)
            return
        for number in range(rounds):
            bench.run(number)
    if as_json:
        click.echo(json.dumps(figures(bench.rounds)))
    else:
        show(bench.rounds, Console())


if __name__ == "__main__":
    main()
