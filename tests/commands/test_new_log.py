"""Accepting another log: the journal's position afterwards, and how `verify` folds it."""

from config.settings import KafkaSettings
from processors.agents.journal_format import JournalPosition, SourceLog
from processors.commands.growth import grown
from processors.commands.new_log import accepted, changed_topics
from processors.commands.refolded_partition import RefoldedPartition
from processors.commands.topic_extents import Extent
from processors.core.ledger.ledger import Ledger
from processors.kafka.topic_reader import TopicRecord
from schemas import codec
from schemas.policy import DEFAULT_POLICY
from tests.agents.workbench import DIRECTORY, TOPIC
from tests.story import activity


def position(log: SourceLog, counted: int = 10) -> JournalPosition:
    return JournalPosition({TOPIC: counted}, 5, {}, logs={TOPIC: log})


def test_another_id_begins_a_log_that_counts_on() -> None:
    before = position(SourceLog("a"))
    after = accepted(before, {TOPIC: "b"}, {TOPIC: Extent(3, 40)})
    log = after.logs[TOPIC]
    assert (log.topic_id, log.base, after.next_offsets) == ("b", 10, {TOPIC: 13})
    assert log.since_us > 0
    assert changed_topics(before, after) == [TOPIC]


def test_an_end_before_what_was_applied_begins_a_log_of_the_same_id() -> None:
    after = accepted(position(SourceLog("a", base=6)), {TOPIC: "a"}, {TOPIC: Extent(0, 3)})
    assert (after.logs[TOPIC].base, after.next_offsets) == (10, {TOPIC: 10})


def test_the_log_that_was_read_stays_as_it_is() -> None:
    before = position(SourceLog("a", base=6))
    assert accepted(before, {TOPIC: "a"}, {TOPIC: Extent(0, 4)}) is before
    assert accepted(before, {TOPIC: None}, {TOPIC: Extent(0, 4)}) is before
    assert accepted(JournalPosition({}, 0, {}), {TOPIC: "b"}, {TOPIC: Extent(0, 4)}).logs == {}


def test_the_position_never_falls_behind_what_is_published() -> None:
    after = accepted(position(SourceLog("a")), {TOPIC: "b"}, {TOPIC: Extent(0, 5)}, fence=17)
    assert (after.logs[TOPIC].base, after.next_offsets) == (17, {TOPIC: 17})
    nothing_durable = accepted(
        JournalPosition({}, 0, {}, logs={TOPIC: SourceLog("a")}), {TOPIC: "b"}, {TOPIC: Extent(0, 5)}, fence=4
    )
    assert (nothing_durable.logs[TOPIC].base, nothing_durable.next_offsets) == (4, {TOPIC: 4})


def test_accepting_twice_adds_up() -> None:
    once = accepted(position(SourceLog("a")), {TOPIC: "b"}, {TOPIC: Extent(0, 5)})
    twice = accepted(once, {TOPIC: "c"}, {TOPIC: Extent(0, 5)})
    assert (twice.logs[TOPIC].base, twice.next_offsets) == (10, {TOPIC: 10})


def test_a_folded_partition_counts_from_the_base_of_its_log() -> None:
    part = RefoldedPartition("p", Ledger(DEFAULT_POLICY, DIRECTORY), 0, {TOPIC: SourceLog("b", 10, 2_000_000)})
    part.add(TopicRecord(TOPIC, 0, 0, b"c1", codec.encode(activity(1)), {}))
    assert part.next_offsets == {TOPIC: 11}
    assert part.is_doubtful(("p", "quality", "0"))
    assert not part.is_doubtful(("p", "quality", "1"))


def test_grown_names_say_how_many_partitions_there_are() -> None:
    kafka = grown(KafkaSettings(events_topics=("crm.events", "crm.web")), 8)
    assert (kafka.events_topics, kafka.group, kafka.partitions) == (
        ("crm.events-p8", "crm.web-p8"),
        "salespulse-p8",
        8,
    )
    assert grown(kafka, 12).events_topics == ("crm.events-p12", "crm.web-p12")
