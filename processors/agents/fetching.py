"""What aiokafka has fetched, taken in lists of its C records: no Python object is made per record.

Hooks into `aiokafka.consumer.fetcher` of the pinned version below its public API; `tests/contract` watches over it.
"""

# ruff: noqa: SLF001 -- hooked below its public API on purpose

import asyncio
import time
from collections.abc import Container, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.errors import CorruptRecordException
from faust.types import TP


class Record(Protocol):
    """A record as aiokafka's C extension gives it."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int | None:
        """Milliseconds since 1970."""

    @property
    def key(self) -> bytes | None:
        """The message key."""

    @property
    def value(self) -> bytes | None:
        """The message; None: a tombstone."""


class Batch(Protocol):
    """A record batch as aiokafka's C extension reads it: its records come into being one by one, and only once."""

    @property
    def base_offset(self) -> int:
        """The offset of its first record."""

    @property
    def next_offset(self) -> int:
        """The offset after its last record."""

    def __iter__(self) -> Iterator[Record]:
        """Its records, in order."""


class Fetched(NamedTuple):
    """Consecutive records of one partition, as the record batches that they came in."""

    batches: list[Batch]
    start: int
    """Every record from this offset on ..."""
    end: int
    """... to before this one is here. Offsets without a record (compacted ones, markers) are included."""

    def records(self, start: int = 0) -> Iterator[Record]:
        """The records, from an offset on. They can be read once, and are made only then: memory stays warm."""
        return chain.from_iterable(_records(batch, max(self.start, start)) for batch in self.batches)


def _records(batch: Batch, start: int) -> Iterator[Record]:
    """A batch's records from an offset on: it comes whole, even if it was asked for from its middle."""
    # A batch refuses a second `iter`; a slice of it does not.
    records = islice(batch, None)
    if batch.base_offset >= start:
        return records
    return (record for record in records if record.offset >= start)


async def drain(fetcher: Fetcher, wanted: Container[Any] | None, timeout: float, most: int) -> dict[TP, Fetched]:
    """At least `most` records of each wanted partition, if they are there; waits `timeout` seconds for the first.

    The counterpart of `Fetcher.fetched_records`; raises what fetching a partition raised.
    """
    deadline = time.monotonic() + timeout
    while True:
        if fetcher._subscriptions.reassignment_in_progress:
            await fetcher._subscriptions.wait_for_assignment()
        drained = _drain_ready(fetcher, wanted, most)
        left = deadline - time.monotonic()
        if drained or left <= 0:
            return drained
        waiter = fetcher._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=left)
        if not done or fetcher._closed:
            waiter.cancel()
            return {}
        waiter.result()


def _drain_ready(fetcher: Fetcher, wanted: Container[Any] | None, most: int) -> dict[TP, Fetched]:
    drained: dict[TP, Fetched] = {}
    for tp in list(fetcher._records):
        if wanted is not None and tp not in wanted:
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
            continue
        if not isinstance(fetcher._records[tp], FetchResult):
            if drained:
                # The next call raises it; what was fetched is not lost.
                return drained
            _pop(fetcher, tp).check_raise()
            continue
        fetched = _take(fetcher, tp, most)
        if fetched is not None and fetched.end > fetched.start:
            drained[TP(*tp)] = fetched
    return drained


def _take(fetcher: Fetcher, tp: Any, most: int) -> Fetched | None:
    """Batches of at least so many records; None when they are no longer wanted (the partition was moved or sought)."""
    result: Any = fetcher._records[tp]
    fetched = _read(result, most) if result.check_assignment(tp) else None
    if not result.has_more():
        _pop(fetcher, tp)
    return fetched


def _read(result: Any, most: int) -> Fetched:
    source = result._partition_records
    # Its own way of reading is a generator that holds it: a circle, and garbage collection comes late to megabytes.
    source._records_iterator = None
    start = source.next_fetch_offset
    batches: list[Batch] = []
    while source.next_fetch_offset - start < most and source._records.has_next():
        batch = source._records.next_batch()
        if source._check_crcs and not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {result._topic_partition}")
        if _counts(source, batch):
            batches.append(batch)
        source.next_fetch_offset = max(start, batch.next_offset)
    result._update_position()
    if not source._records.has_next():
        result._partition_records = None
    return Fetched(batches, start, source.next_fetch_offset)


def _counts(source: Any, batch: Any) -> bool:
    """Whether a batch has records, and no transaction that was aborted: markers of transactions are no records."""
    source._consume_aborted_up_to(batch.base_offset)
    if batch.is_control_batch:
        if batch.producer_id in source._aborted_producers and source._contains_abort_marker(batch):
            source._aborted_producers.discard(batch.producer_id)
        return False
    return not (batch.is_transactional and batch.producer_id in source._aborted_producers)


def _pop(fetcher: Fetcher, tp: Any) -> Any:
    """Remove what was fetched, and let the fetcher ask for more."""
    result = fetcher._records.pop(tp)
    fetcher._notify(fetcher._wait_consume_future)
    return result
