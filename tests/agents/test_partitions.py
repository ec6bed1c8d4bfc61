"""Parts come and go with the assignment, and go on where their changelog ends."""

import pytest

from processors.agents.partitions import NO_OFFSET, OwnedPartition, OwnedPartitions
from processors.core.directory import directory_of
from processors.core.instants import instant_us
from schemas.policy import DEFAULT_POLICY
from tests.agents.workbench import CLOCK_US, TOPIC, Desk, new_parts, open_part
from tests.story import activity, at, opened, rep


def restored(desk: Desk, parts: OwnedPartitions | None = None) -> OwnedPartition:
    """What another worker makes of the part's changelog."""
    _, entries = desk.part.cut()
    parts = new_parts() if parts is None else parts
    parts.assign([0], generation=7)
    (part,) = parts
    for offset, (key, value) in enumerate(entries):
        part.restore(key, value, offset)
    part.begin(CLOCK_US)
    return part


def test_a_part_goes_on_where_its_changelog_ends() -> None:
    desk = Desk()
    event = activity(1)
    desk.take(event, b"bad", event)

    part = restored(desk)

    assert part.next_offsets == part.durable == {TOPIC: 3}
    assert part.ledger.facts.keys() == desk.part.ledger.facts.keys()
    assert part.ledger.quality == desk.part.ledger.quality
    assert part.ledger.everything() == desk.part.ledger.everything()


def test_what_was_said_before_the_checkpoint_is_not_said_again() -> None:
    desk = Desk()
    desk.take(opened(0))
    desk.part.ledger.set_clock(instant_us(at(90)))
    desk.part.ledger.advance(instant_us(at(90)))
    said = desk.part.ledger.take_transitions()

    part = restored(desk)

    assert [transition.state for transition in said][-1] == "fired"
    assert part.ledger.take_transitions() == []


def test_s14_what_a_rep_who_moved_meanwhile_made_overdue_is_said() -> None:
    """The deadline passes at the rep's place of before; the mark in the changelog knows which that was."""
    desk = Desk()
    desk.take(opened(0, rep_id="alice"))
    desk.part.ledger.set_clock(instant_us(at(90)))
    desk.part.ledger.advance(instant_us(at(90)))
    directory = directory_of(DEFAULT_POLICY)
    directory.put(rep("alice", "north"))

    part = restored(desk, new_parts(directory=directory))

    assert [transition.state for transition in part.ledger.take_transitions()] == ["fired"]


def test_a_part_whose_changelog_says_all_is_durable() -> None:
    part = open_part(new_parts())
    assert part.is_durable()

    part.next_offsets = {TOPIC: 1}
    assert not part.is_durable()

    part.durable = {TOPIC: 1}
    part.spoken = True
    assert not part.is_durable()


def test_a_part_leaves_at_once_with_its_partition() -> None:
    parts = new_parts()
    part = open_part(parts, 3)

    parts.assign([4], generation=2)

    assert not parts.owns(part)
    assert parts.get(3) is None
    assert [part.number for part in parts] == [4]
    assert parts.recovered() == []


def test_a_recovered_part_stays_over_the_next_rebalance() -> None:
    parts = new_parts()
    part = open_part(parts)

    parts.assign([0, 1], generation=2)

    assert parts.get(0) is part
    assert parts.get(1) is not None


def test_a_part_is_made_anew_when_somebody_else_may_have_had_it_in_between() -> None:
    parts = new_parts()
    part = open_part(parts)

    parts.assign([0], generation=3)

    fresh = parts.get(0)
    assert fresh is not part
    assert fresh is not None
    assert fresh.changelog_offset == NO_OFFSET


def test_a_part_that_was_not_recovered_begins_again() -> None:
    parts = new_parts()
    parts.assign([0], generation=1)
    half = parts.get(0)

    parts.assign([0], generation=2)

    assert parts.get(0) is not half


def test_the_position_counts_all_topics() -> None:
    part = open_part(new_parts(("crm.events", "erp.events")))
    part.next_offsets = {"crm.events": 4, "erp.events": 3}

    assert part.position == 7
    assert part.label == "crm.events/0"


def test_an_event_of_the_journal_that_cannot_be_read_is_left_out_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """As an earlier version may have kept one: the worker starts, and the others count."""
    desk = Desk()
    desk.take(activity(1, event_id="good"))
    desk.part.journal.pending.insert(0, b'{"type":"customer.revenue","amount":"sNaN"}')
    desk.part.journal.pending_ids.insert(0, "odd")

    part = restored(desk)

    assert set(part.ledger.facts) == {"good"}
    assert "an event of the journal cannot be read and is left out" in caplog.text
