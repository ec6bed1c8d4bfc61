"""What aiokafka has fetched, taken in lists of its C records: no Python object is made per record.

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
"""What is applied in one go ends with the batch that reaches it: a compressed one may have become very large."""


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
    """A record batch: its records come into being some at a time, and only once."""

    @property
    def base_offset(self) -> int:
        """The offset of its first record."""

    @property
    def opened_bytes(self) -> int:
        """How large it became when it was read."""

    def chunks(self, report: OnUnreadable) -> Iterator[list[Any]]:
        """Its records, in order; stretches of it that cannot be read are reported."""


class Fetched(NamedTuple):
    """Consecutive records of one partition, as the record batches that they came in."""

    batches: list[Batch]
    start: int
    """Every record from this offset on ..."""
    end: int
    """... to before this one is here. Offsets without a record (compacted ones, markers) are included."""


class FetchedReader:
    """The records of what was fetched, from an offset on. They are made only now: memory stays warm."""

    def __init__(self, fetched: Fetched, start: int = 0) -> None:
        self._batches = iter(fetched.batches)
        self._start = max(fetched.start, start)
        self._end = fetched.end
        self._chunks: Iterator[list[Record]] = iter(())
        self._batch: Batch | None = None
        self._unreadable: list[UnreadableRange] = []
        self.is_over = False
        """Whether there is no more."""

    def portion(self, most: int) -> Iterator[Record]:
        """The next records: up to so many and a few more, and no more batches than take up PORTION_BYTES."""
        return chain.from_iterable(self._portion(most))

    def records(self) -> Iterator[Record]:
        """All that are left."""
        while not self.is_over:
            yield from self.portion(1)

    def take_unreadable(self) -> list[UnreadableRange]:
        """The stretches of offsets that could not be read since the last call."""
        unreadable, self._unreadable = self._unreadable, []
        return unreadable

    def _portion(self, most: int) -> Iterator[list[Record]]:
        count = opened = 0
        while count < most and opened < MAX_PORTION_BYTES:
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
        """A batch's records from where we begin: it comes whole, even if it was asked for from its middle."""
        chunks = batch.chunks(self._report)
        if batch.base_offset >= self._start:
            return chunks
        return ([record for record in chunk if record.offset >= self._start] for chunk in chunks)

    def _report(self, stretch: UnreadableRange) -> None:
        first = max(stretch.first, self._start)
        if first <= stretch.last:
            self._unreadable.append(stretch._replace(first=first))


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
    # Whoever reads the batches hears of what is unreadable, in its turn.
    source._records.report = _later
    start = source.next_fetch_offset
    batches: list[Batch] = []
    while source.next_fetch_offset - start < most and source._records.has_next():
        batch = source._records.next_batch()
        if batch.why is not None or _counts(source, batch):
            batches.append(batch)
        source.next_fetch_offset = max(source.next_fetch_offset, batch.next_offset)
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


def _later(_stretch: UnreadableRange) -> None:
    """Nothing yet."""


def _pop(fetcher: Fetcher, tp: Any) -> Any:
    """Remove what was fetched, and let the fetcher ask for more."""
    result = fetcher._records.pop(tp)
    fetcher._notify(fetcher._wait_consume_future)
    return result
