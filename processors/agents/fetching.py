"""Takes over what aiokafka has fetched as lists of its C records, without a Python object per record.

Hooks into `aiokafka.consumer.fetcher` of the pinned version below its public API; `tests/contract` watches over it.
"""

# ruff: noqa: SLF001 -- hooked below its public API on purpose

import asyncio
import time
from collections.abc import Container, Iterator
from itertools import chain
from typing import Any, NamedTuple, Protocol

from aiokafka.consumer.fetcher import Fetcher, FetchResult
from faust.types import TP

from processors.kafka.record_batches import OnUnreadable
from processors.kafka.record_frames import UnreadableRange

MAX_PORTION_BYTES = 8 * 1024 * 1024
"""A portion ends with the batch that reaches this size: a compressed batch may become very large."""


class Record(Protocol):
    """A record as aiokafka's C extension returns it."""

    @property
    def offset(self) -> int:
        """Its offset in the partition."""

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
    """A record batch. Its records are made some at a time, and only once."""

    @property
    def base_offset(self) -> int:
        """The offset of its first record."""

    @property
    def opened_bytes(self) -> int:
        """Its size after decompression; 0 before it is read."""

    def chunks(self, report: OnUnreadable) -> Iterator[list[Any]]:
        """Its records, in order; offsets that cannot be read are reported."""


class Fetched(NamedTuple):
    """Consecutive records of one partition, in the record batches that they came in."""

    batches: list[Batch]
    start: int
    """Every record from this offset on is here ..."""
    end: int
    """... up to before this one. That includes offsets without a record: compacted ones, and markers."""


class FetchedReader:
    """Reads fetched batches from an offset on. Records are made only now, so that the CPU still caches them."""

    def __init__(self, fetched: Fetched, start: int = 0) -> None:
        self._batches = iter(fetched.batches)
        self._start = max(fetched.start, start)
        self._end = fetched.end
        self._chunks: Iterator[list[Record]] = iter(())
        self._batch: Batch | None = None
        self._unreadable: list[UnreadableRange] = []
        self.is_over = False
        """Whether everything was read."""

    def portion(self, max_records: int) -> Iterator[Record]:
        """The next records: about `max_records`, and no further batch once MAX_PORTION_BYTES are decompressed."""
        return chain.from_iterable(self._portion(max_records))

    def records(self) -> Iterator[Record]:
        """All remaining records."""
        while not self.is_over:
            yield from self.portion(1)

    def drain_unreadable(self) -> list[UnreadableRange]:
        """The ranges of offsets that could not be read since the last call."""
        unreadable, self._unreadable = self._unreadable, []
        return unreadable

    def _portion(self, max_records: int) -> Iterator[list[Record]]:
        count = opened = 0
        while count < max_records and opened < MAX_PORTION_BYTES:
            chunk = next(self._chunks, None)
            if chunk is not None:
                count += len(chunk)
                yield chunk
                continue
            opened += 0 if self._batch is None else self._batch.opened_bytes
            self._batch = next(self._batches, None)
            if self._batch is None:
                self.is_over = True
                return
            self._chunks = self._wanted(self._batch)

    def _wanted(self, batch: Batch) -> Iterator[list[Record]]:
        """A batch's records from the start on. Brokers send it whole, even if it was asked for from its middle."""
        chunks = batch.chunks(self._report)
        if batch.base_offset >= self._start:
            return chunks
        return ([record for record in chunk if record.offset >= self._start] for chunk in chunks)

    def _report(self, unreadable: UnreadableRange) -> None:
        first = max(unreadable.first, self._start)
        if first <= unreadable.last:
            self._unreadable.append(unreadable._replace(first=first))


async def drain(fetcher: Fetcher, wanted: Container[Any] | None, timeout: float, max_records: int) -> dict[TP, Fetched]:
    """At least `max_records` of each wanted partition, if they are there. Waits `timeout` seconds for the first.

    The counterpart of `Fetcher.fetched_records`; raises what fetching a partition raised.
    """
    deadline = time.monotonic() + timeout
    while True:
        if fetcher._subscriptions.reassignment_in_progress:
            await fetcher._subscriptions.wait_for_assignment()
        drained = _drain_ready(fetcher, wanted, max_records)
        left = deadline - time.monotonic()
        if drained or left <= 0:
            return drained
        waiter = fetcher._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=left)
        if not done or fetcher._closed:
            waiter.cancel()
            return {}
        waiter.result()


def _drain_ready(fetcher: Fetcher, wanted: Container[Any] | None, max_records: int) -> dict[TP, Fetched]:
    drained: dict[TP, Fetched] = {}
    for tp in list(fetcher._records):
        if wanted is not None and tp not in wanted:
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
            continue
        if not isinstance(fetcher._records[tp], FetchResult):
            if drained:
                # An error waits here. The next call raises it, so that what was fetched is not lost.
                return drained
            _pop(fetcher, tp).check_raise()
            continue
        fetched = _take(fetcher, tp, max_records)
        if fetched is not None and fetched.end > fetched.start:
            drained[TP(*tp)] = fetched
    return drained


def _take(fetcher: Fetcher, tp: Any, max_records: int) -> Fetched | None:
    """Batches of at least `max_records`; None if the partition was revoked or sought since they were fetched."""
    result: Any = fetcher._records[tp]
    fetched = _read(result, max_records) if result.check_assignment(tp) else None
    if not result.has_more():
        _pop(fetcher, tp)
    return fetched


def _read(result: Any, max_records: int) -> Fetched:
    source = result._partition_records
    # Its own generator refers back to it. That cycle would keep megabytes until the next garbage collection.
    source._records_iterator = None
    # FetchedReader reports what is unreadable, in the order of the records.
    source._records.report = _ignore
    start = source.next_fetch_offset
    batches: list[Batch] = []
    while source.next_fetch_offset - start < max_records and source._records.has_next():
        batch = source._records.next_batch()
        if batch.why is not None or _has_records(source, batch):
            batches.append(batch)
        source.next_fetch_offset = max(source.next_fetch_offset, batch.next_offset)
    result._update_position()
    if not source._records.has_next():
        result._partition_records = None
    return Fetched(batches, start, source.next_fetch_offset)


def _has_records(source: Any, batch: Any) -> bool:
    """Whether a batch has records that count: not a transaction's marker, and not of an aborted transaction."""
    source._consume_aborted_up_to(batch.base_offset)
    if batch.is_control_batch:
        if batch.producer_id in source._aborted_producers and source._contains_abort_marker(batch):
            source._aborted_producers.discard(batch.producer_id)
        return False
    return not (batch.is_transactional and batch.producer_id in source._aborted_producers)


def _ignore(_unreadable: UnreadableRange) -> None:
    """Reported when the batch is read."""


def _pop(fetcher: Fetcher, tp: Any) -> Any:
    """Remove a fetched result, and let the fetcher ask for more."""
    result = fetcher._records.pop(tp)
    fetcher._notify(fetcher._wait_consume_future)
    return result
