"""Whose transitions are sent: those of the newest owner, from its takeover on, and all that came before it."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from processors.notifier.partition_owners import PartitionOwners
from schemas.alerts import Takeover, takeover_of
from tests.notifier.world import transition


def taken_over(owners: PartitionOwners, epoch: int, partition: int = 3, at: int = 0, logs: str = "one") -> None:
    takeover = Takeover(partition, epoch, logs)
    record: Any = SimpleNamespace(partition=at, key=takeover.key, headers=takeover.headers, value=None)
    owners.add(record)


def by(epoch: int | None, partition: int | None = 3) -> Any:
    return msgspec.structs.replace(transition(), epoch=epoch, partition=partition)


def test_a_former_owner_counts_until_its_successor_takes_over() -> None:
    owners = PartitionOwners()
    taken_over(owners, 10)
    assert owners.accepts(0, by(10))
    taken_over(owners, 20)
    assert not owners.accepts(0, by(10))
    assert owners.accepts(0, by(20))


def test_what_was_sent_before_owners_had_epochs_counts() -> None:
    owners = PartitionOwners()
    taken_over(owners, 10)
    assert owners.accepts(0, by(None))
    assert owners.accepts(0, by(None, None))


def test_other_partitions_have_other_owners() -> None:
    owners = PartitionOwners()
    taken_over(owners, 20)
    assert owners.accepts(0, by(10, partition=4))


def test_each_partition_of_the_topic_knows_of_a_takeover_when_it_was_read_that_far() -> None:
    owners = PartitionOwners()
    taken_over(owners, 20, at=0)
    assert owners.accepts(1, by(10))
    taken_over(owners, 20, at=1)
    assert not owners.accepts(1, by(10))


def test_a_late_takeover_of_a_former_owner_changes_nothing() -> None:
    owners = PartitionOwners()
    taken_over(owners, 20)
    taken_over(owners, 10)
    assert not owners.accepts(0, by(10))


def test_epochs_start_again_in_logs_that_were_created_again() -> None:
    owners = PartitionOwners()
    taken_over(owners, 2000, logs="one")
    taken_over(owners, 1, logs="two")
    assert owners.accepts(0, by(1))


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        (None, []),
        (b"c1/r1/1/1h", [("epoch", b"3")]),
        (b"owner/x", [("epoch", b"3")]),
        (b"owner/3", []),
        (b"owner/3", [("epoch", b"-1")]),
        (b"owner/3", [("epoch", b"\xff")]),
    ],
)
def test_records_without_a_value_that_are_no_takeover_are_ignored(
    key: bytes | None, headers: list[tuple[str, bytes]]
) -> None:
    assert takeover_of(key, headers) is None
