"""Partitions come and go with the assignment, and go on where their changelog ends."""

import pytest

from processors.agents.partitions import NO_OFFSET, OwnedPartition, OwnedPartitions
from processors.core.state.directory import directory_of
from processors.core.time.instants import instant_us
from schemas.policy import DEFAULT_POLICY
from tests.agents.workbench import CLOCK_US, TOPIC, IntakeHarness, new_partitions, open_partition
from tests.story import activity, at, opened, rep


def restored(harness: IntakeHarness, partitions: OwnedPartitions | None = None) -> OwnedPartition:
    """What another worker makes of the partition's changelog."""
    _, entries = harness.partition.cut()
    partitions = new_partitions() if partitions is None else partitions
    partitions.assign([0], generation=7)
    (partition,) = partitions
    for offset, (key, value) in enumerate(entries):
        partition.restore(key, value, offset)
    partition.begin(CLOCK_US)
    return partition


def test_a_partition_goes_on_where_its_changelog_ends() -> None:
    harness = IntakeHarness()
    event = activity(1)
    harness.apply(event, b"bad", event)

    partition = restored(harness)

    assert partition.next_offsets == partition.durable_offsets == {TOPIC: 3}
    assert partition.ledger.facts.keys() == harness.partition.ledger.facts.keys()
    assert partition.ledger.quality == harness.partition.ledger.quality
    assert partition.ledger.everything() == harness.partition.ledger.everything()


def test_what_was_sent_before_the_checkpoint_is_not_sent_again() -> None:
    harness = IntakeHarness()
    harness.apply(opened(0))
    harness.partition.ledger.set_clock(instant_us(at(90)))
    harness.partition.ledger.advance(instant_us(at(90)))
    sent = harness.partition.ledger.drain_transitions()

    partition = restored(harness)

    assert [transition.state for transition in sent][-1] == "fired"
    assert partition.ledger.drain_transitions() == []


def test_s14_what_a_rep_who_moved_meanwhile_made_overdue_is_sent() -> None:
    """The deadline passes at the rep's place of before; the position in the changelog knows which that was."""
    harness = IntakeHarness()
    harness.apply(opened(0, rep_id="alice"))
    harness.partition.ledger.set_clock(instant_us(at(90)))
    harness.partition.ledger.advance(instant_us(at(90)))
    directory = directory_of(DEFAULT_POLICY)
    directory.put(rep("alice", "north"))

    partition = restored(harness, new_partitions(directory=directory))

    assert [transition.state for transition in partition.ledger.drain_transitions()] == ["fired"]


def test_a_partition_whose_changelog_says_all_is_durable() -> None:
    partition = open_partition(new_partitions())
    assert partition.is_durable()

    partition.next_offsets = {TOPIC: 1}
    assert not partition.is_durable()

    partition.durable_offsets = {TOPIC: 1}
    partition.sent_since_mark = True
    assert not partition.is_durable()


def test_a_partition_leaves_at_once_with_its_partition() -> None:
    partitions = new_partitions()
    partition = open_partition(partitions, 3)

    partitions.assign([4], generation=2)

    assert not partitions.owns(partition)
    assert partitions.get(3) is None
    assert [partition.number for partition in partitions] == [4]
    assert partitions.recovered() == []


def test_a_recovered_partition_stays_over_the_next_rebalance() -> None:
    partitions = new_partitions()
    partition = open_partition(partitions)

    partitions.assign([0, 1], generation=2)

    assert partitions.get(0) is partition
    assert partitions.get(1) is not None


def test_a_partition_is_made_anew_when_somebody_else_may_have_had_it_in_between() -> None:
    partitions = new_partitions()
    partition = open_partition(partitions)

    partitions.assign([0], generation=3)

    fresh = partitions.get(0)
    assert fresh is not partition
    assert fresh is not None
    assert fresh.changelog_offset == NO_OFFSET


def test_a_partition_that_was_not_recovered_begins_again() -> None:
    partitions = new_partitions()
    partitions.assign([0], generation=1)
    half = partitions.get(0)

    partitions.assign([0], generation=2)

    assert partitions.get(0) is not half


def test_the_position_counts_all_topics() -> None:
    partition = open_partition(new_partitions(("crm.events", "erp.events")))
    partition.next_offsets = {"crm.events": 4, "erp.events": 3}

    assert partition.position == 7
    assert partition.label == "crm.events/0"


def test_a_partition_that_stayed_reads_from_the_topic_what_a_former_owner_wrote_late() -> None:
    """A rebalance reads on in the changelog of a kept partition. There may be a segment that it did not write."""
    harness, former = IntakeHarness(), IntakeHarness()
    before, late = activity(1), activity(2)
    former.apply(before, late)
    harness.apply(before)
    _, entries = former.partition.cut()

    assert [harness.partition.restore(key, value, 7) for key, value in entries] == [0]

    assert harness.partition.changelog_offset == 7
    harness.apply(late)
    assert harness.partition.ledger.facts.keys() == {before.event_id, late.event_id}
    assert harness.partition.ledger.quality == {}


def test_an_event_of_the_journal_that_cannot_be_read_is_left_out_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """As an earlier version may have kept one: the worker starts, and the others count."""
    harness = IntakeHarness()
    harness.apply(activity(1, event_id="good"))
    harness.partition.journal.pending.insert(0, b'{"type":"customer.revenue","amount":"sNaN"}')
    harness.partition.journal.pending_ids.insert(0, "odd")

    partition = restored(harness)

    assert set(partition.ledger.facts) == {"good"}
    assert "an event of the journal cannot be read and is left out" in caplog.text
