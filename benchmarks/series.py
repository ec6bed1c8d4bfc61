"""What a scrape of `/metrics` holds: series and bytes, of reps that the directory knows and of made-up ones.

No time is measured, so any machine gives the same figures. Every rep has ten days of numbers of everything.
"""

import asyncio
import random
from typing import NamedTuple

import click
import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.exposition import PARTITION, TEAM_SIZE, some_partial
from config.clock import Clock
from config.settings import ClockSettings
from processors.board.metrics.chunks import gzipped
from processors.board.metrics.exposition import Exposition
from processors.board.state.store import Store
from processors.core.time.instants import DAY_US
from schemas.events import RepUpdated
from schemas.policy import DEFAULT_POLICY
from schemas.views import partial_field

CASES = ((24, 0), (24, 300), (24, 600), (10_000, 0), (10_000, 300))
DAYS = 10
SEED = 1


class ScrapeSize(NamedTuple):
    """One answer."""

    series: int
    size: int
    """Bytes."""
    packed: int
    """Bytes as gzip."""


def scrape(known: int, unknown: int) -> ScrapeSize:
    """The answer of a board with so many reps of the directory, and so many that nobody announced."""
    clock, dice = Clock(ClockSettings()), random.Random(SEED)
    store, today = Store(DEFAULT_POLICY, clock.now_us), clock.now_us() // DAY_US
    for number in range(known + unknown):
        rep_id = f"rep-{number:05d}"
        if number < known:
            entry = RepUpdated(rep_id=rep_id, name=f"Rep {number}", team=f"team-{number // TEAM_SIZE:04d}")
            store.put_rep(rep_id, msgspec.msgpack.encode(entry))
        for day in range(today - DAYS, today):
            store.put(
                PARTITION, "partials", partial_field("rep", rep_id, day), msgspec.msgpack.encode(some_partial(dice))
            )
    texts = asyncio.run(Exposition(store, clock, lambda: True).texts())
    text = b"".join(texts)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return ScrapeSize(series, len(text), sum(map(len, gzipped(texts))))


@click.command()
def main() -> None:
    """Series and bytes of a scrape."""
    table = Table("reps", "unknown reps", "series", "MB", "MB as gzip", title="/metrics")
    for known, unknown in CASES:
        found = scrape(known, unknown)
        sizes = (f"{found.size / 1e6:.2f}", f"{found.packed / 1e6:.2f}")
        table.add_row(f"{known:,}", f"{unknown:,}", f"{found.series:,}", *sizes)
    Console().print(table)


if __name__ == "__main__":
    main()
