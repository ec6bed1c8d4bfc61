"""Whole topics, record by record: from the first one to the end at the start of reading, or further on request."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.settings import KafkaSettings
from processors.kafka.connection import blocking_options, reported
from schemas.errors import Unavailable, UsageError

POLL_MS = 1000
MAX_EMPTY_POLLS = 30
"""Polls in a row without a record, after which we give up on a broker that owes records."""


@contextmanager
def consumer(kafka: KafkaSettings, **options: Any) -> Iterator[KafkaConsumer]:
    """A consumer of raw bytes without a group that reads committed records only, as workers do; raises Unavailable."""
    options = {"enable_auto_commit": False, "isolation_level": "read_committed"} | options
    with reported(kafka):
        client = KafkaConsumer(**blocking_options(kafka), **options)
        try:
            yield client
        finally:
            client.close()


class TopicRecord(NamedTuple):
    """A record as the broker stores it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]
    timestamp_ms: int = 0
    """Milliseconds since 1970, as its producer or the broker set it."""


class TopicReader:
    """Reads topics forward; each reading goes up to the end that the topics have when it begins."""

    def __init__(self, client: KafkaConsumer, kafka: KafkaSettings, topics: tuple[str, ...]) -> None:
        self._client = client
        self._kafka = kafka
        self._partitions = [TopicPartition(topic, number) for topic in topics for number in self._numbers(topic)]
        client.assign(self._partitions)
        client.seek_to_beginning(*self._partitions)

    def _numbers(self, topic: str) -> list[int]:
        numbers = self._client.partitions_for_topic(topic)
        if not numbers:
            raise UsageError(f"topic {topic!r} does not exist: create it with `salespulse topics`")
        return sorted(numbers)

    def read(self, *, bar: bool = True) -> Iterator[TopicRecord]:
        """The records from the end of the last reading up to the present end; raises Unavailable."""
        with reported(self._kafka), _progress(shown=bar) as progress:
            ends = self._client.end_offsets(self._partitions)
            left = {part: end for part, end in ends.items() if self._client.position(part) < end}
            task = progress.add_task("reading", total=sum(end - self._client.position(p) for p, end in left.items()))
            idle = 0
            while left:
                batches = self._client.poll(timeout_ms=POLL_MS, max_records=20_000)
                idle = 0 if batches else idle + 1
                if idle == MAX_EMPTY_POLLS:
                    raise Unavailable(f"Kafka at {self._kafka.bootstrap} gives no more records: is the broker healthy?")
                for part, records in batches.items():
                    progress.advance(task, len(records))
                    for record in records:
                        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
                        yield TopicRecord(
                            part.topic,
                            part.partition,
                            record.offset,
                            record.key,
                            record.value,
                            headers,
                            max(record.timestamp, 0),
                        )
                left = {part: end for part, end in left.items() if self._client.position(part) < end}


def read_topics(kafka: KafkaSettings, topics: tuple[str, ...]) -> Iterator[TopicRecord]:
    """All records of topics up to their present ends; raises Unavailable, UsageError."""
    with consumer(kafka) as client:
        yield from TopicReader(client, kafka, topics).read()


def _progress(*, shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    disable = not (shown and sys.stderr.isatty())
    return Progress(*columns, console=Console(stderr=True), disable=disable, transient=True)
