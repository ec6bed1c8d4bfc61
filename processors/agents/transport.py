"""The batch transport: a Faust event carries all that was fetched of a partition. Only durable offsets are committed.

Hooks into the pinned faust-streaming below its public API; `tests/contract` guards them. Table topics come record by
record, as Faust expects.
"""

# ruff: noqa: SLF001 -- hooked below its public API on purpose

import logging
import time
from collections.abc import AsyncIterator, Container, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers.aiokafka import (
    AIOKafkaConsumerThread,
    Consumer,
    Transport,
    credentials_to_aiokafka_auth,
    server_list,
)
from faust.types import TP, ConsumerMessage

from processors.agents.broker_liveness import PartitionEnd, known_ends
from processors.agents.fetching import Fetched, FetchedReader, drain
from processors.agents.lease import Lease, renewing
from processors.kafka.partition_ends import true_ends

FETCH_TIMEOUT_MS = 100
"""How long the broker may hold a request for which it has no records. Meanwhile aiokafka asks that broker for nothing
else: with Faust's 1500 ms, one quiet topic (the directory of reps) blocked the busy ones for most of the time."""


REBALANCE_FETCH_TIMEOUT_SECONDS = 0.1
"""How long a fetch waits during a rebalance. It is short because the partitions may change meanwhile."""


MAX_PORTION_RECORDS = 64
"""Changelog records that are read at a time."""


class TransportCallbacks(Protocol):
    """What the transport needs of the worker."""

    def sources(self) -> Iterable[TP]:
        """The source partitions whose state is complete."""

    def durable_offset(self, tp: TP) -> int | None:
        """The offset to commit for a source partition; None: there is none."""

    def check_committed(self, committed: Mapping[TP, int]) -> None:
        """Check the offsets from which source partitions are read now; raises LostRecords."""

    async def make_durable(self) -> None:
        """Make everything durable, before a rebalance or the end."""

    def committed(self, seconds: float) -> None:
        """Record the duration of a commit."""

    @property
    def lease(self) -> Lease:
        """The lease that the coordinator's answers renew."""


class FetchablePartitions:
    """The partitions to fetch from at this moment; during a rebalance, the changelogs only.

    Faust resumes the source partitions first, then seeks to the committed offsets, and empties its queues last. A batch
    that was fetched in between would be lost, while the next one would come. So this is asked at every step: a fetch
    that began before the rebalance may still be waiting for records.
    """

    def __init__(self, asked: Container[Any], consumer: Any) -> None:
        self._asked = asked
        self._consumer = consumer

    def __contains__(self, tp: object) -> bool:
        if tp not in self._asked:
            return False
        return not self._consumer.app.rebalancing or self._consumer._is_changelog_tp(tp)


class BatchConsumerThread(AIOKafkaConsumerThread):
    """Fetches in its own thread and event loop."""

    logger = logging.getLogger("faust.transport.thread")

    async def on_start(self) -> None:
        """Connect, and let the coordinator's answers renew the lease."""
        await super().on_start()
        app: Any = self.consumer.app
        coordinator: Any = self._ensure_consumer()._coordinator
        coordinator._send_req = renewing(coordinator._send_req, app.transport_callbacks.lease)

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_TIMEOUT_MS
        # Records of aborted transactions never happened.
        consumer._isolation_level = "read_committed"
        return consumer

    async def _fetch_records(
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: Container[Any] | None,
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Mapping[TP, Any]:
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        wanted = None if active_partitions is None else FetchablePartitions(active_partitions, self.consumer)
        with fetcher._subscriptions.fetch_context():
            return await drain(fetcher, wanted, timeout or 0.0, max_records or 1)

    def known_ends(self) -> dict[TP, PartitionEnd]:
        """The ends of the assigned partitions, as the broker last reported them."""
        # Another thread may change the assignment at any time, so it is looked up only once.
        subscription = None if self._consumer is None else self._consumer._subscription.subscription
        assignment = None if subscription is None else subscription.assignment
        return {} if assignment is None else known_ends(assignment)


class BatchConsumer(Consumer):
    """Delivers batches, and commits durable offsets instead of those acknowledged in memory."""

    logger = logging.getLogger("faust.transport.batches")

    @property
    def _worker(self) -> TransportCallbacks:
        app: Any = self.app
        callbacks: TransportCallbacks = app.transport_callbacks
        return callbacks

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Fetched batches. A rebalance drops them, and ends with a seek to the committed offsets."""
        fetched: Any
        fetched, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if not fetched or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_back()
            return
        for tp, batch in fetched.items():
            if active is None or tp in active or tp in self._buffered_partitions:
                for message in self._messages(tp, batch):
                    if not self.flow_active or generation != self.app.consumer_generation_id:
                        return
                    yield tp, message

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, Any]:
        """Fetch; during a rebalance from the changelogs only (see FetchablePartitions), and with a short timeout."""
        if self.app.rebalancing and active_partitions is not None:
            changelogs = {tp for tp in active_partitions if self._is_changelog_tp(tp)}
            return await super()._getmany(changelogs, REBALANCE_FETCH_TIMEOUT_SECONDS)
        return await super()._getmany(active_partitions, timeout)

    async def _seek_back(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # noqa: BLE001 - as in Faust: the recovery that follows seeks again
            self.log.warning("Seeking back while the flow is stopped: %r", error)

    def _messages(self, tp: TP, batch: Fetched) -> Iterator[ConsumerMessage]:
        generation = self.app.consumer_generation_id
        if self._is_changelog_tp(tp):
            reader = FetchedReader(batch)
            while not reader.is_over:
                for record in reader.portion(MAX_PORTION_RECORDS):
                    yield _message(tp, record, record.value, generation)
                # Ranges that cannot be read go to the table, which decides what to do.
                for unreadable in reader.drain_unreadable():
                    yield _message(tp, _Marker(unreadable.last), unreadable, generation)
        else:
            yield _message(tp, _Marker(batch.end - 1), batch, generation)

    def ack(self, message: Any) -> bool:
        """Forget the message. What may be committed is decided elsewhere: see `durable_offset`."""
        message.acked = True
        self._unacked_messages.discard(message)
        return True

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: the fetch itself waits for room. Faust would sleep for a second once all partitions wait."""

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: a batch knows which offsets it covers."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in self._worker.sources() if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._worker.durable_offset(tp)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        started = time.perf_counter()
        done = await super()._commit(offsets)
        self._worker.committed(time.perf_counter() - started)
        return bool(done)

    async def wait_empty(self) -> None:
        """Called before a rebalance and at the end. A batch is applied in one go, so nothing is half done."""
        await self.commit_and_end_transactions()

    async def commit_and_end_transactions(self) -> None:
        """Make everything durable, then commit it."""
        await self._worker.make_durable()
        await super().commit_and_end_transactions()

    async def perform_seek(self) -> None:
        """Seek to the committed offsets, which recovery must have reached."""
        await super().perform_seek()
        self._worker.check_committed({tp: offset or 0 for tp, offset in self._committed_offset.items()})

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """The offsets after the last records that can be read."""
        return await true_ends(self._new_reader, await super().highwaters(*partitions))

    async def listed_end(self, tp: TP) -> int:
        """The end of a partition as its leader reports it."""
        ends: Mapping[TP, int] = await super().highwaters(tp)
        return ends[tp] or 0

    def _new_reader(self) -> AIOKafkaConsumer:
        """A consumer outside of the group."""
        conf = self.app.conf
        transport: Any = self.transport
        return AIOKafkaConsumer(
            bootstrap_servers=server_list(transport.url, transport.default_port),
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            **credentials_to_aiokafka_auth(conf.broker_credentials, conf.ssl_context),
        )

    def known_ends(self) -> dict[TP, PartitionEnd]:
        """The ends of the assigned partitions, as the broker last reported them."""
        thread: Any = self._thread
        ends: dict[TP, PartitionEnd] = thread.known_ends()
        return ends

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: metrics show lag and batches, and Faust's check mistakes batches for a stalled stream."""


class _Marker(NamedTuple):
    """Stands for offsets without a record of their own, such as transaction markers."""

    offset: int
    timestamp: int | None = None
    timestamp_type: int | None = None
    headers: tuple[()] = ()
    key: bytes | None = None


class BatchTransport(Transport):
    """Kafka through aiokafka, batch by batch."""

    Consumer: ClassVar[type[BatchConsumer]] = BatchConsumer


def _message(tp: TP, record: Any, value: Any, generation: int) -> ConsumerMessage:
    timestamp_ms = record.timestamp
    seconds = 0.0 if timestamp_ms is None else timestamp_ms / 1000
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        record.offset,
        seconds,
        record.timestamp_type,
        record.headers,
        record.key,
        value,
        None,
        0,
        0,
        tp,
        generation_id=generation,
    )
