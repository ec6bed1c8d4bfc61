"""What the broker says of topics against what the partitions were made from."""

import asyncio

import msgspec
import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from config.settings import KafkaSettings
from processors.agents.broker_liveness import PartitionEnd
from processors.agents.journal_format import JournalPosition, SourceLog
from processors.agents.metrics import WorkerMetrics
from processors.agents.partitions import OwnedPartitions
from processors.agents.topic_watch import TopicChanged, TopicWatch
from processors.kafka.topic_identity import TopicDescription
from tests.agents.workbench import CLOCK_US, TOPIC, new_partitions

KAFKA = KafkaSettings()
SOURCE = TP(TOPIC, 0)


class Bench:
    """A watch over one partition that has applied ten records, and a leader that answers as a test says."""

    def __init__(self, logs: dict[str, SourceLog] | None = None) -> None:
        self.partitions: OwnedPartitions = new_partitions()
        self.partitions.assign([0], generation=1)
        (self.partition,) = self.partitions
        self.partition.journal.position = JournalPosition({TOPIC: 10}, CLOCK_US, {}, logs=logs or {})
        self.partition.begin(CLOCK_US)
        self.leader = 10
        self.watch = TopicWatch(KAFKA, self.partitions, WorkerMetrics(CollectorRegistry()), self.listed)

    async def listed(self, _: TP) -> int:
        return self.leader

    def finds(self, **ids: str | None) -> None:
        self.watch.found = {
            TOPIC: TopicDescription(ids.get("events", "e1"), 4),
            KAFKA.journal_topic: TopicDescription(ids.get("journal", "j1"), 4),
            KAFKA.reps_topic: TopicDescription(ids.get("reps", "r1"), 1),
        }

    def check_end(self, end: int) -> None:
        asyncio.run(self.watch.check_ends({SOURCE: PartitionEnd(end, 0.0)}))


def test_ids_that_were_not_known_are_kept_and_written() -> None:
    bench = Bench()
    bench.finds()
    bench.watch.adopt(bench.partition)
    assert {topic: log.topic_id for topic, log in bench.partition.logs.items()} == {
        TOPIC: "e1",
        KAFKA.journal_topic: "j1",
    }
    assert not bench.partition.is_durable()
    position, _ = bench.partition.cut()
    assert position.logs == bench.partition.logs
    bench.watch.adopt(bench.partition)
    assert bench.partition.is_durable()


@pytest.mark.parametrize("topic", ["events", "journal"])
def test_another_id_stops_the_worker_with_its_mend(topic: str) -> None:
    bench = Bench({TOPIC: SourceLog("e1"), KAFKA.journal_topic: SourceLog("j1")})
    bench.finds(**{topic: "e2"})
    mend = "--accept-new-log" if topic == "events" else "set kafka.group to another name"
    with pytest.raises(TopicChanged, match=mend) as caught:
        bench.watch.adopt(bench.partition)
    assert caught.value.fault == "made_anew"
    assert "\n" not in str(caught.value)


def test_a_broker_without_ids_says_nothing_against_a_topic() -> None:
    bench = Bench({TOPIC: SourceLog("e1")})
    bench.finds(events=None, journal=None)
    bench.watch.adopt(bench.partition)
    assert bench.partition.logs == {TOPIC: SourceLog("e1")}


def test_an_end_before_what_was_applied_stops_the_worker_if_the_leader_confirms_it() -> None:
    bench = Bench()
    bench.check_end(10)
    bench.leader = 12
    bench.check_end(7)  # a new leader that does not know its end yet
    bench.leader = 7
    with pytest.raises(TopicChanged, match="ends at offset 7 in partition 0, but everything before 10") as caught:
        bench.check_end(7)
    assert caught.value.fault == "truncated"


def test_offsets_of_an_accepted_log_count_from_its_base() -> None:
    bench = Bench({TOPIC: SourceLog("e2", base=8)})
    assert bench.partition.next_offsets == {TOPIC: 2}
    assert bench.partition.position == 10
    bench.check_end(2)
    bench.leader = 1
    with pytest.raises(TopicChanged, match="everything before 2 was applied"):
        bench.check_end(1)


def test_what_is_written_of_an_accepted_log_counts_on() -> None:
    partition = Bench({TOPIC: SourceLog("e2", base=8)}).partition
    partition.next_offsets[TOPIC] = 5
    position, _ = partition.cut()
    assert position.next_offsets == {TOPIC: 13}
    assert partition.broker_offsets(position) == {TOPIC: 5}


def test_more_partitions_than_at_the_beginning_stop_the_worker() -> None:
    bench = Bench()
    bench.finds()
    bench.watch._check_counts()
    bench.watch.found[TOPIC] = TopicDescription("e1", 6)
    with pytest.raises(TopicChanged, match=r"has 6 partitions, and had 4 when this worker began.*--grow 6"):
        bench.watch._check_counts()


def test_a_topic_is_missing_when_the_broker_says_so_three_times() -> None:
    watch = Bench().watch
    watch._check_present({}, (TOPIC,))
    watch._check_present({}, (TOPIC,))
    watch._check_present({TOPIC: TopicDescription(None, 4)}, (TOPIC,))
    watch._check_present({}, (TOPIC,))
    watch._check_present({}, (TOPIC,))
    with pytest.raises(TopicChanged, match="is gone"):
        watch._check_present({}, (TOPIC,))


def test_a_directory_with_another_id_or_a_lower_end_is_another() -> None:
    async def ask(bench: Bench, reached: int, end: int) -> bool:
        return await bench.watch.directory_was_recreated(reached, {TP(KAFKA.reps_topic, 0): PartitionEnd(end, 0.0)})

    bench = Bench()
    bench.finds()
    assert not asyncio.run(ask(bench, 5, 5))
    bench.leader = 3
    assert asyncio.run(ask(bench, 5, 3))
    bench.finds(reps="r2")
    assert asyncio.run(ask(bench, 5, 5))


def test_another_directory_has_no_dead_letters_yet() -> None:
    bench = Bench({KAFKA.reps_topic: SourceLog("r1")})
    bench.partition.directory_reported_to[0] = 40
    bench.finds(reps="r2")
    bench.watch.adopt(bench.partition)
    assert bench.partition.directory_reported_to == {}


def test_positions_of_before_logs_were_kept_are_read() -> None:
    old = msgspec.msgpack.encode([1, True, {TOPIC: 7}, 5, {}, [], None, {}])
    partition = Bench().partition
    fresh = new_partitions()
    fresh.assign([0], generation=1)
    (restored,) = fresh
    restored.restore(bytes(16), old, 0)
    restored.begin(CLOCK_US)
    assert (restored.logs, restored.next_offsets, restored.position) == ({}, {TOPIC: 7}, 7)
    assert partition.logs == {}
