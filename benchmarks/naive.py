"""The naive way, to compare with: a plain Faust agent that takes event by event and counts per rep in a Faust table.

Stock settings, JSON values, the memory store, the changelog that Faust keeps by itself. It computes one single number.
Run by `benchmarks.throughput`, which stops it when it has seen enough.
"""

from itertools import count
from pathlib import Path
from typing import Any

import click
import faust

from benchmarks.meter import OwnMeter


def build(bootstrap: str, group: str, topic: str, partitions: int, datadir: Path) -> tuple[faust.App, list[int]]:
    """The app, and a list whose one element is how many events it has taken."""
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        topic_partitions=partitions,
        autodiscover=False,
        web_enabled=False,
        datadir=datadir,
    )
    events = app.topic(topic, value_serializer="json")
    counts = app.Table("counts", default=int)
    taken, numbers = [0], count(1)

    async def count_events(stream: Any) -> None:
        async for event in stream:
            counts[event.get("rep_id", "")] += 1
            taken[0] = next(numbers)

    app.agent(events)(count_events)
    return app, taken


@click.command()
@click.option("--bootstrap", required=True)
@click.option("--group", required=True)
@click.option("--topic", required=True)
@click.option("--partitions", type=int, required=True)
@click.option("--samples", type=click.Path(path_type=Path), required=True)
def main(bootstrap: str, group: str, topic: str, partitions: int, samples: Path) -> None:
    """Count events until stopped."""
    app, taken = build(bootstrap, group, topic, partitions, samples.parent / f"{group}-data")
    OwnMeter(samples, lambda: taken[0]).start()
    faust.Worker(app, loglevel="warning").execute_from_commandline()


if __name__ == "__main__":
    main()
