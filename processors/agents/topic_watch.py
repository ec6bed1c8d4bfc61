"""Whether the topics are still those that this worker's state was made from.

Kafka does not notify consumers when a topic is recreated under its old name, loses its end, or gets more partitions.
Offsets that were read before then return with other records, and a consumer silently skips them. So a worker compares
the topics' ids, ends and partition counts with what it knows, always, and stops when they differ.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from faust.types import TP

from config.settings import KafkaSettings
from processors.agents.broker_liveness import PartitionEnd
from processors.agents.metrics import WorkerMetrics
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from processors.kafka.topic_identity import TopicDescription, describe_topics
from schemas.errors import SalespulseError

Fault = Literal["made_anew", "truncated", "partitions", "missing"]

MISSING_CHECKS = 3
"""A topic is gone after this many checks without it: a node that has just joined may not know every topic yet."""
ACCEPT_MEND = (
    "stop all workers, find out what happened to the topic, and run `salespulse topics --accept-new-log` to keep all "
    "facts and to read the new log from its beginning"
)


class TopicChanged(SalespulseError):
    """A topic is no longer the one that the state was made from. To go on would silently count wrongly."""

    def __init__(self, topic: str, fault: Fault, detail: str) -> None:
        super().__init__(f"{topic} {detail}")
        self.topic = topic
        self.fault: Fault = fault


@dataclass
class TopicWatch:
    """Compares the topics on the broker with those that the partitions know."""

    kafka: KafkaSettings
    partitions: OwnedPartitions
    metrics: WorkerMetrics
    listed_ends: Callable[[TP], Awaitable[int]]
    """Asks the leader for the end of a partition. (The embedded broker may name one that is too low.)"""
    found: dict[str, TopicDescription] = field(default_factory=dict)
    """Each topic as the broker last described it."""
    _counts: dict[str, int] = field(default_factory=dict)
    """The partition count of each topic when the worker began."""
    _directory_id: str | None = None
    _missed: dict[str, int] = field(default_factory=dict)

    @property
    def _partitioned(self) -> tuple[str, ...]:
        return (*self.kafka.events_topics, self.kafka.journal_topic)

    async def refresh(self) -> None:
        """Ask the broker again; raises TopicChanged, and KafkaError, OSError if it does not answer."""
        topics = (*self._partitioned, self.kafka.reps_topic)
        described = await describe_topics(self.kafka, topics)
        self._check_present(described, topics)
        self.found |= described
        self._check_counts()
        for partition in self.partitions.recovered():
            self.adopt(partition)

    def adopt(self, partition: OwnedPartition) -> None:
        """Check the topics' ids against those that a partition was made from; raises TopicChanged."""
        for topic in self._partitioned:
            known, found = partition.logs.get(topic), self.found.get(topic)
            if known is None or found is None or None in (known.topic_id, found.topic_id):
                continue
            if known.topic_id != found.topic_id:
                raise self._changed(topic, found.topic_id, known.topic_id)
        partition.adopt_ids({topic: self.found[topic].topic_id for topic in self._partitioned if topic in self.found})
        self._begin_directory(partition)

    def _begin_directory(self, partition: OwnedPartition) -> None:
        """If the directory has another log, none of its refused entries is reported yet."""
        known, found = partition.logs.get(self.kafka.reps_topic), self.found.get(self.kafka.reps_topic)
        if known is not None and found is not None and known.topic_id != found.topic_id:
            partition.restart_directory_reports()

    async def check_ends(self, ends: Mapping[TP, PartitionEnd]) -> None:
        """Check that no source partition ends before its applied offsets; raises TopicChanged, KafkaError."""
        for tp, applied, end in list(self._truncated(ends)):
            # A new leader may report too low an end for a moment. Asked explicitly, it waits until it knows.
            listed = await self.listed_ends(tp)
            partition = self.partitions.get(tp.partition)
            if partition is None or partition.next_offsets.get(tp.topic, 0) < applied or max(listed, end) >= applied:
                continue
            raise TopicChanged(
                tp.topic,
                "truncated",
                f"ends at offset {max(listed, end)} in partition {tp.partition}, but everything before {applied} was "
                f"applied: it was made anew or has lost its end; {ACCEPT_MEND}",
            )

    async def directory_was_recreated(self, reached: int, ends: Mapping[TP, PartitionEnd]) -> bool:
        """Whether the directory's topic is not the one whose first `reached` records were read; raises KafkaError."""
        found = self.found.get(self.kafka.reps_topic)
        if found is not None and self._directory_id is None:
            self._directory_id = found.topic_id
        if found is not None and found.topic_id != self._directory_id:
            return True
        tp = TP(self.kafka.reps_topic, 0)
        partition_end = ends.get(tp)
        return partition_end is not None and partition_end.end < reached and await self.listed_ends(tp) < reached

    def _truncated(self, ends: Mapping[TP, PartitionEnd]) -> Iterator[tuple[TP, int, int]]:
        """Source partitions that seem to end before their applied offsets: partition, applied offset, end."""
        for partition in self.partitions.recovered():
            for topic, applied in partition.next_offsets.items():
                tp = TP(topic, partition.number)
                partition_end = ends.get(tp)
                if partition_end is not None and partition_end.end < applied:
                    yield tp, applied, partition_end.end

    def _check_present(self, described: Mapping[str, TopicDescription], topics: tuple[str, ...]) -> None:
        self._missed = {topic: self._missed.get(topic, 0) + 1 for topic in topics if topic not in described}
        for topic, times in self._missed.items():
            if times >= MISSING_CHECKS:
                raise TopicChanged(
                    topic,
                    "missing",
                    "is gone: stop all workers, restore it or create it with `salespulse topics`, and then, if it is "
                    "an events topic, run `salespulse topics --accept-new-log`",
                )

    def _check_counts(self) -> None:
        for topic in self._partitioned:
            found = self.found.get(topic)
            if found is None:
                continue
            began = self._counts.setdefault(topic, found.partitions)
            if found.partitions != began:
                raise TopicChanged(
                    topic,
                    "partitions",
                    f"has {found.partitions} partitions, and had {began} when this worker began: customers would move "
                    "away from their history; stop all producers and workers, and run `salespulse topics --grow "
                    f"{found.partitions}`, which copies the events to a topic of that many",
                )

    def _changed(self, topic: str, found: str | None, known: str | None) -> TopicChanged:
        mend = ACCEPT_MEND
        if topic == self.kafka.journal_topic:
            mend = (
                "the workers' state is lost with it: restore it, or stop all workers, set kafka.group to another name "
                "and run `salespulse topics`, and the workers read all events anew"
            )
        return TopicChanged(topic, "made_anew", f"has the id {found}, but the state was made from {known}: {mend}")
