"""`salespulse simulate`: a simulated team's events."""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click
import msgspec

from config.clock import Clock
from config.settings import Settings
from processors.commands.options import CONFIG, INSTANT, POSITIVE, SHARE, TO, settings_of
from processors.commands.progress import progress_bar
from processors.commands.target import Target
from processors.core.time.instants import DAY_US, SECOND_US, rfc3339
from processors.ingest.faults import Faults, with_faults
from processors.ingest.lateness import Lateness
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.bulk_producer import SendProgress
from processors.kafka.pacing import FullSpeed, Live, Pace, Steady
from processors.kafka.timed_messages import from_events
from schemas.errors import UsageError


@click.command("simulate")
@click.option("--seed", type=int, default=1, show_default=True, help="the same seed gives the same bytes")
@click.option("--reps", type=click.IntRange(min=1), default=24, show_default=True)
@click.option("--customers", type=click.IntRange(min=1), help="default: 40 for each rep")
@click.option("--intensity", type=POSITIVE, default=1.0, show_default=True, help="multiplies how much happens each day")
@click.option("--start", type=INSTANT, help="the first instant; default: 30 days before now")
@click.option(
    "--until", type=INSTANT, help="the last instant; default: now, but none with --count onto stdout or --live"
)
@click.option("--count", type=click.IntRange(min=1), help="events at most")
@click.option("--rate", type=POSITIVE, help="events a second, evenly spaced; default: as fast as possible")
@click.option("--live", is_flag=True, help="send each event when the clock reaches its instant")
@click.option("--disorder", type=SHARE, default=0.0, help="share that comes late")
@click.option("--duplicates", type=SHARE, default=0.0, help="share that comes twice")
@click.option("--malformed", type=SHARE, default=0.0, help="share followed by a damaged copy")
@TO
@CONFIG
def command(to: str, config_file: Path | None, **options: Any) -> None:
    """A seeded, believable team of reps and customers as events."""
    target = Target(settings_of(config_file), sys.stdout.buffer if to == "stdout" else None)
    delivery = run_simulate(simulation(target, options), target)
    for line in [f"{delivery.acknowledged:,} events", *target.warnings]:
        click.echo(line, err=True)


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


def simulation(target: Target, options: dict[str, Any]) -> SimulateOptions:
    """The command line's options with their defaults: the 30 days before now.

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
    with progress_bar("events", options.count) as shown:
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


def _pace(options: SimulateOptions, settings: Settings) -> Pace:
    if options.live and options.rate is not None:
        raise UsageError("--rate and --live exclude each other: events leave evenly, or when they occur")
    if options.live:
        return Live(Clock(settings.clock))
    return FullSpeed() if options.rate is None else Steady(options.rate)
