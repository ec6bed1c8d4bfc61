"""What of the alerts' topic a new owner looks at, and when."""

import msgspec
import pytest

from processors.agents.alert_log_progress import AlertLogProgress
from processors.agents.alert_reconciliation import AlertReconciliation, of_former_owners
from processors.agents.partitions import OwnedPartition
from schemas.alerts import Transition
from tests.agents.test_metrics import fired
from tests.agents.workbench import Desk


def by(epoch: int | None, revision: int, partition: int | None = 0) -> Transition:
    return msgspec.structs.replace(fired(0), epoch=epoch, partition=partition, revision=revision)


def test_only_the_last_word_of_former_owners_on_this_partition_is_looked_at() -> None:
    part = Desk().part
    part.epoch = 9
    theirs = [by(3, 1), by(7, 5), by(7, 4), by(9, 8), by(None, 9), by(3, 10, partition=1)]
    assert [said.revision for said in of_former_owners(part, theirs)] == [5]


def takeover(desk: Desk) -> AlertReconciliation:
    def new_reader() -> None:
        raise AssertionError("nothing is to be read")

    reader: object = new_reader
    return AlertReconciliation(desk.parts, "alerts", desk.lease, reader, settle_seconds=6.0)  # type: ignore[arg-type]


def due(part: OwnedPartition, desk: Desk) -> bool:
    return takeover(desk).is_due(part)


def test_it_is_looked_at_once_everything_is_read_and_nothing_is_on_its_way() -> None:
    desk = Desk()
    part = desk.part
    part.caught_up, part.former = True, AlertLogProgress({0: 3}, claimed_at=desk.lease.now() - 7)
    assert due(part, desk)
    part.former.claimed_at = desk.lease.now() - 5
    assert not due(part, desk)
    part.former.claimed_at, part.caught_up = desk.lease.now() - 7, False
    assert not due(part, desk)
    part.caught_up, part.epoch = True, None
    assert not due(part, desk)


@pytest.mark.parametrize("unread", [None, {}])
def test_a_mark_that_knows_of_no_alerts_leaves_nothing_to_look_at(unread: dict[int, int] | None) -> None:
    desk = Desk()
    desk.part.caught_up, desk.part.former = True, AlertLogProgress(unread, claimed_at=desk.lease.now() - 7)
    assert not due(desk.part, desk)


def test_a_successor_looks_from_where_nobody_has_looked_yet() -> None:
    former = AlertLogProgress({0: 3, 1: 5})
    former.acknowledge({0: 9, 1: 9})
    assert former.known_up_to() == {0: 3, 1: 5}
    former.read({0: 8, 1: 12})
    assert former.known_up_to() == {0: 9, 1: 12}
    former.acknowledge({0: 11})
    assert former.known_up_to() == {0: 11, 1: 12}
