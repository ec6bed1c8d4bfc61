"""What of the alerts' topic a new owner looks at, and when."""

import msgspec
import pytest

from processors.agents.alert_log_progress import AlertLogProgress
from processors.agents.alert_reconciliation import AlertReconciliation, newest_of_earlier_owners
from processors.agents.partitions import OwnedPartition
from schemas.alerts import Transition
from tests.agents.test_metrics import fired
from tests.agents.workbench import IntakeHarness


def by(epoch: int | None, revision: int, partition: int | None = 0) -> Transition:
    return msgspec.structs.replace(fired(0), epoch=epoch, partition=partition, revision=revision)


def test_only_the_newest_transition_newest_of_earlier_owners_on_this_partition_is_looked_at() -> None:
    partition = IntakeHarness().partition
    partition.epoch = 9
    theirs = [by(3, 1), by(7, 5), by(7, 4), by(9, 8), by(None, 9), by(3, 10, partition=1)]
    assert [sent.revision for sent in newest_of_earlier_owners(partition, theirs)] == [5]


def takeover(harness: IntakeHarness) -> AlertReconciliation:
    def new_reader() -> None:
        raise AssertionError("nothing is to be read")

    reader: object = new_reader
    return AlertReconciliation(harness.partitions, "alerts", harness.lease, reader, quiet_seconds=6.0)  # type: ignore[arg-type]


def due(partition: OwnedPartition, harness: IntakeHarness) -> bool:
    return takeover(harness).is_due(partition)


def test_it_is_looked_at_once_everything_is_read_and_nothing_is_on_its_way() -> None:
    harness = IntakeHarness()
    partition = harness.partition
    partition.caught_up, partition.alert_log = True, AlertLogProgress({0: 3}, claimed_at=harness.lease.now() - 7)
    assert due(partition, harness)
    partition.alert_log.claimed_at = harness.lease.now() - 5
    assert not due(partition, harness)
    partition.alert_log.claimed_at, partition.caught_up = harness.lease.now() - 7, False
    assert not due(partition, harness)
    partition.caught_up, partition.epoch = True, None
    assert not due(partition, harness)


@pytest.mark.parametrize("unread", [None, {}])
def test_a_position_that_knows_of_no_alerts_leaves_nothing_to_look_at(unread: dict[int, int] | None) -> None:
    harness = IntakeHarness()
    harness.partition.caught_up, harness.partition.alert_log = (
        True,
        AlertLogProgress(unread, claimed_at=harness.lease.now() - 7),
    )
    assert not due(harness.partition, harness)


def test_a_successor_looks_from_where_nobody_has_looked_yet() -> None:
    alert_log = AlertLogProgress({0: 3, 1: 5})
    alert_log.acknowledge({0: 9, 1: 9})
    assert alert_log.known_up_to() == {0: 3, 1: 5}
    alert_log.mark_read({0: 8, 1: 12})
    assert alert_log.known_up_to() == {0: 9, 1: 12}
    alert_log.acknowledge({0: 11})
    assert alert_log.known_up_to() == {0: 11, 1: 12}
