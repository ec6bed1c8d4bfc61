"""What aiokafka fetched comes out in batches: every record once, in order, whatever the batches look like."""

import asyncio
import gc
import weakref
from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition
from faust.types import TP

from processors.agents.fetching import Fetched, FetchedReader, drain
from processors.kafka.record_frames import UnreadableRange
from processors.kafka.record_set import RecordSet

PARTITION = TopicPartition("crm.events", 2)
CONTROL = 0x20
ZSTD = 4
LARGEST_BATCH = 4
COMMIT_MARKER = b"\0\0\0\1"
CRC_AT, ATTRIBUTES_AT = 17, 21


def wire_batch(base: int, count: int, *, control: bool = False, intact: bool = True) -> bytes:
    """A Kafka record batch of `count` values from an offset on."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1_000_000)
    for n in range(count):
        key = COMMIT_MARKER if control else b"k%d" % (base + n)
        builder.append(n, timestamp=1000 + n, key=key, value=b"v%d" % (base + n), headers=[])
    raw = bytearray(builder.build())
    raw[0:8] = base.to_bytes(8, "big")
    if control:
        raw[ATTRIBUTES_AT + 1] |= CONTROL
        raw[CRC_AT:ATTRIBUTES_AT] = calc_crc32c(bytes(raw[ATTRIBUTES_AT:])).to_bytes(4, "big")
    if not intact:
        raw[-1] ^= 0xFF
    return bytes(raw)


def compressed(value: bytes) -> bytes:
    """A batch of one value, compressed."""
    builder = DefaultRecordBatchBuilder(2, ZSTD, 0, -1, -1, -1, 2_000_000)
    builder.append(0, timestamp=1000, key=None, value=value, headers=[])
    return bytes(builder.build())


class Assignment:
    """An assignment with one partition at one position."""

    active = True
    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, _tp: TopicPartition) -> "Assignment":
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


class Subscriptions:
    """A settled subscription."""

    reassignment_in_progress = False
    assigned = True

    def is_assigned(self, _tp: TopicPartition) -> bool:
        return self.assigned


class Fetching:
    """Stands for aiokafka's fetcher, with results of its own making."""

    def __init__(self) -> None:
        self._records: dict[TopicPartition, Any] = {}
        self._subscriptions = Subscriptions()
        self._wait_consume_future: Any = None
        self._closed = False
        self.asked = 0
        self.waiter: asyncio.Future[None] | None = None

    def _notify(self, _future: Any) -> None:
        self.asked += 1

    def _create_fetch_waiter(self) -> "asyncio.Future[None]":
        self.waiter = asyncio.get_running_loop().create_future()
        return self.waiter

    def put(self, *batches: bytes, start: int, tp: TopicPartition = PARTITION) -> Assignment:
        assignment = Assignment(start)
        records = PartitionRecords(tp, RecordSet(b"".join(batches)), [], start, None, None, True, 0)
        self._records[tp] = FetchResult(tp, partition_records=records, assignment=assignment, backoff=0)
        return assignment

    def drain(self, max_records: int = 1000, wanted: Iterable[TopicPartition] = (PARTITION,)) -> dict[TP, Fetched]:
        fetcher: Any = self
        return asyncio.run(drain(fetcher, set(wanted), 0.0, max_records))


def offsets(fetched: Fetched) -> list[int]:
    return [record.offset for record in FetchedReader(fetched).records()]


def test_records_come_with_offset_time_key_and_value() -> None:
    fetching = Fetching()
    fetching.put(wire_batch(5, 2), start=5)

    fetched = fetching.drain()[TP(*PARTITION)]

    assert [(r.offset, r.timestamp, r.key, r.value) for r in FetchedReader(fetched).records()] == [
        (5, 1000, b"k5", b"v5"),
        (6, 1001, b"k6", b"v6"),
    ]
    assert (fetched.start, fetched.end) == (5, 7)


@pytest.mark.parametrize("max_records", [1, 2, 3, 4, 5, 7, 100])
def test_every_record_comes_once_in_order_however_few_at_a_time(max_records: int) -> None:
    fetching = Fetching()
    assignment = fetching.put(wire_batch(10, LARGEST_BATCH), wire_batch(14, 1), wire_batch(15, 3), start=10)

    found: list[int] = []
    expected_start = 10
    while PARTITION in fetching._records:
        for fetched in fetching.drain(max_records).values():
            assert fetched.start == expected_start
            taken = offsets(fetched)
            assert taken
            assert len(taken) < max_records + LARGEST_BATCH
            found += taken
            expected_start = fetched.end

    assert found == list(range(10, 18))
    assert assignment.position == expected_start == 18
    assert fetching.asked == 1


def test_what_was_read_is_gone_at_once() -> None:
    """Megabytes: they cannot wait for garbage collection, which seldom looks at what is old."""
    fetching = Fetching()
    fetching.put(wire_batch(0, 3), wire_batch(3, 3), start=0)
    result = fetching._records[PARTITION]
    renewing = [weakref.ref(result), weakref.ref(result._partition_records)]
    del result
    gc.disable()
    try:
        while fetching.drain(1):
            pass
        assert [watch() for watch in renewing] == [None, None]
    finally:
        gc.enable()


def test_a_batch_that_begins_before_the_wanted_offset_is_cut() -> None:
    fetching = Fetching()
    fetching.put(wire_batch(0, 10), start=6)

    fetched = fetching.drain(2)[TP(*PARTITION)]

    assert offsets(fetched) == [6, 7, 8, 9]
    assert fetching.drain() == {}


def test_markers_are_no_records_but_count_as_read() -> None:
    fetching = Fetching()
    fetching.put(wire_batch(0, 2), wire_batch(2, 1, control=True), start=0)

    fetched = fetching.drain()[TP(*PARTITION)]

    assert offsets(fetched) == [0, 1]
    assert fetched.end == 3


def test_nothing_but_markers_moves_the_position() -> None:
    fetching = Fetching()
    assignment = fetching.put(wire_batch(3, 1, control=True), start=3)

    fetched = fetching.drain()[TP(*PARTITION)]

    assert (offsets(fetched), fetched.start, fetched.end) == ([], 3, 4)
    assert assignment.position == 4


def test_a_gap_left_by_compaction_belongs_to_the_batch_around_it() -> None:
    fetching = Fetching()
    fetching.put(wire_batch(3, 1), wire_batch(9, 1), start=0)

    fetched = fetching.drain()[TP(*PARTITION)]

    assert (offsets(fetched), fetched.start, fetched.end) == ([3, 9], 0, 10)


def test_a_damaged_batch_is_a_range_of_offsets_and_what_follows_is_read() -> None:
    fetching = Fetching()
    damaged = wire_batch(2, 3, intact=False)
    fetching.put(wire_batch(0, 2), damaged, wire_batch(5, 1), start=0)

    fetched = fetching.drain()[TP(*PARTITION)]
    reading = FetchedReader(fetched)

    assert [record.offset for record in reading.records()] == [0, 1, 5]
    assert reading.drain_unreadable() == [UnreadableRange(2, 4, "its checksum is wrong", damaged)]
    assert reading.drain_unreadable() == []
    assert (fetched.start, fetched.end) == (0, 6)


def test_a_damaged_batch_alone_moves_the_position() -> None:
    fetching = Fetching()
    assignment = fetching.put(wire_batch(7, 2, intact=False), start=8)

    reading = FetchedReader(fetching.drain()[TP(*PARTITION)])

    assert list(reading.records()) == []
    assert [unreadable[:2] for unreadable in reading.drain_unreadable()] == [(8, 8)]
    assert assignment.position == 9


def test_a_portion_ends_with_the_batch_that_is_large_enough() -> None:
    """Many small batches that each become a megabyte are not opened at once."""
    fetching = Fetching()
    blank = compressed(b" " * 1_000_000)
    fetching.put(*(n.to_bytes(8, "big") + blank[8:] for n in range(100)), start=0)
    reading = FetchedReader(fetching.drain()[TP(*PARTITION)])

    portions = []
    while not reading.is_over:
        portions.append(len(list(reading.portion(4000))))

    assert sum(portions) == 100
    assert max(portions) == 9  # of a megabyte each: the eight first are less than 8 MiB


def test_what_was_fetched_before_a_seek_is_dropped() -> None:
    fetching = Fetching()
    fetching.put(wire_batch(0, 2), start=0).position = 50

    assert fetching.drain() == {}
    assert PARTITION not in fetching._records


def test_partitions_that_wait_keep_what_was_fetched() -> None:
    fetching = Fetching()
    fetching.put(wire_batch(0, 2), start=0)

    assert fetching.drain(wanted=()) == {}
    assert PARTITION in fetching._records
    fetching._subscriptions.assigned = False
    fetching.drain(wanted=())
    assert PARTITION not in fetching._records


def test_an_error_waits_until_what_came_before_it_was_taken() -> None:
    fetching, other = Fetching(), TopicPartition("crm.events", 3)
    fetching.put(wire_batch(0, 2), start=0)
    fetching._records[other] = FetchError(error=TopicAuthorizationFailedError("crm.events"), backoff=0)

    assert list(fetching.drain(wanted=(PARTITION, other))) == [TP(*PARTITION)]
    with pytest.raises(TopicAuthorizationFailedError):
        fetching.drain(wanted=(PARTITION, other))
    assert fetching._records == {}


def test_it_waits_for_the_first_record() -> None:
    fetching = Fetching()

    async def wait() -> dict[TP, Fetched]:
        fetcher: Any = fetching
        draining = asyncio.create_task(drain(fetcher, {PARTITION}, 30.0, 10))
        while fetching.waiter is None:
            await asyncio.sleep(0)
        fetching.put(wire_batch(0, 1), start=0)
        fetching.waiter.set_result(None)
        return await draining

    assert offsets(asyncio.run(wait())[TP(*PARTITION)]) == [0]


def test_it_gives_up_waiting_when_the_time_is_over() -> None:
    fetching = Fetching()
    fetcher: Any = fetching

    assert asyncio.run(drain(fetcher, {PARTITION}, 0.01, 10)) == {}
    assert fetching.waiter is not None
    assert fetching.waiter.cancelled()
