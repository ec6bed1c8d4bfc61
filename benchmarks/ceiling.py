"""The ceiling, to compare with: aiokafka fetches, msgspec decodes, and nothing is done with the events.

It has no state, no groups and no commits. Run by `benchmarks.throughput`.
"""

import asyncio
from pathlib import Path

import click
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.meter import OwnMeter
from schemas.codec import parse_event

BATCH = 4000


class Reader:
    """Reads a topic to a number of events."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.taken = 0
        self._bootstrap = bootstrap
        self._partitions = [TopicPartition(topic, number) for number in range(partitions)]

    async def run(self, events: int) -> None:
        """Read and decode so many events."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign(self._partitions)
            while self.taken < events:
                for records in (await consumer.getmany(timeout_ms=1000, max_records=BATCH)).values():
                    for record in records:
                        parse_event(record.value)
                    self.taken += len(records)
        finally:
            await consumer.stop()


@click.command()
@click.option("--bootstrap", required=True)
@click.option("--topic", required=True)
@click.option("--partitions", type=int, required=True)
@click.option("--events", type=int, required=True)
@click.option("--samples", type=click.Path(path_type=Path), required=True)
def main(bootstrap: str, topic: str, partitions: int, events: int, samples: Path) -> None:
    """Read so many events and end."""
    reader = Reader(bootstrap, topic, partitions)
    meter = OwnMeter(samples, lambda: reader.taken)
    meter.start()
    asyncio.run(reader.run(events))
    meter.stop()


if __name__ == "__main__":
    main()
