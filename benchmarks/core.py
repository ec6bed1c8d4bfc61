"""The pure core alone: no Kafka, no Redis, no event loop. All times are CPU times of this process."""

import json
import subprocess
import sys
from collections.abc import Mapping

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks import mix, roots
from benchmarks.corpus import corpus
from benchmarks.footprint import Footprint
from benchmarks.machine import described

SIZES = (1_000, 10_000)
CUSTOMER_SIZES = (10_000, 100_000)
ROOT_SIZES = {"request": SIZES, "opportunity": SIZES, "customer": CUSTOMER_SIZES}


def root_costs(sizes: Mapping[str, tuple[int, ...]]) -> list[dict[str, object]]:
    """Microseconds an event for each kind of root, size and order."""
    return [
        {"root": name, "facts": size, **_cost_by_order(name, size)} for name, chosen in sizes.items() for size in chosen
    ]


def _cost_by_order(name: str, size: int) -> dict[str, float]:
    make = roots.ROOTS[name]
    return {order: roots.cost_per_event(arrange(list(make(size)))) for order, arrange in roots.ORDERS.items()}


def footprint(requests: int) -> Footprint:
    """What open requests take, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.footprint", str(requests)]
    return msgspec.json.decode(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout, type=Footprint)


def measure(events: int, requests: int, sizes: Mapping[str, tuple[int, ...]]) -> dict[str, object]:
    """All figures."""
    values = list(corpus(events).values())
    timed = mix.timed(values)
    steps, moves = timed.costs.per_event(), timed.moves()
    types = {
        name: {"events": cost.events, "us": cost.seconds / cost.events * 1e6}
        for name, cost in mix.cost_by_type(values).items()
    }
    del values, timed
    return {
        "machine": described(),
        "steps": steps,
        "types": types,
        "moves": msgspec.to_builtins(moves),
        "roots": root_costs(sizes),
        "footprint": msgspec.to_builtins(footprint(requests)),
    }


def show(found: dict[str, object], console: Console) -> None:
    """Tables for people."""
    for title in ("steps", "types", "moves", "roots", "footprint"):
        console.print(_table(title, found[title]))
    console.print(found["machine"])


def _table(title: str, content: object) -> Table:
    match content:
        case list():
            rows = content
        case dict() if all(isinstance(value, dict) for value in content.values()):
            rows = [{"": name, **value} for name, value in content.items()]
        case dict():
            rows = [content]
        case _:
            raise TypeError(f"{title}: {content!r}")
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(f"{value:,.2f}" if isinstance(value, float) else f"{value}" for value in row.values()))
    return table


@click.command()
@click.option("--events", default=600_000, show_default=True, help="messages of the realistic mix")
@click.option("--requests", default=1_000_000, show_default=True, help="open requests in memory")
@click.option("--profile", is_flag=True, help="print where the time goes on the mix, by function, and end")
@click.option("--json", "as_json", is_flag=True, help="figures for programs")
def main(events: int, requests: int, profile: bool, as_json: bool) -> None:
    """What the core costs, in microseconds of CPU an event."""
    if profile:
        mix.profile(list(corpus(events).values()))
        return
    found = measure(events, requests, ROOT_SIZES)
    if as_json:
        click.echo(json.dumps(found))
    else:
        show(found, Console())


if __name__ == "__main__":
    main()
