"""Reads the alerts topic for one receiver: from its beginning, and up to its committed offset without sending.

The topic is compacted, so reading it from the beginning yields every active alert; the committed offset of the
receiver's consumer group says what is delivered. Each receiver has a group of its own: the topic is its queue, an hour
without the receiver costs no memory, and none waits for another. Several notifiers share the partitions of each group.

A topic that was deleted and created again, or has lost its end, counts as new: it is read from its beginning, and the
delivery log keeps alerts from being sent twice. The topic's id is kept in the metadata of the committed offset.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from config.settings import KafkaSettings
from processors.kafka.connection import async_options, first_line
from processors.kafka.topic_identity import topic_ids
from processors.notifier.delivery_log import at_end

logger = logging.getLogger(__name__)

SESSION_TIMEOUT_MS = 6000
HEARTBEAT_INTERVAL_MS = 1000
REBALANCE_TIMEOUT_MS = 3000
"""How long the group waits for its members when one comes or goes; the embedded broker waits for all of it."""
POLL_TIMEOUT_MS = 200
POLL_BATCH_SIZE = 1000
CONFIRMED_SECONDS = 3.0
"""After the coordinator's answer, the group counts us as a member for this long: half of its session timeout."""
RECONFIRM_SECONDS = 0.5
"""The pause before the coordinator is asked again after a refusal."""
TOPIC_CHECK_INTERVAL_SECONDS = 10.0
"""How often the topic's id is compared with the known one."""
HANDOVER_TIMEOUT_SECONDS = 2.0
"""The longest that a receiver that hangs may delay a hand-over of partitions: less than REBALANCE_TIMEOUT_MS."""


class AlertConsumer:
    """The consumer of one receiver."""

    def __init__(self, kafka: KafkaSettings, group: str, before_revoked: Callable[[], Awaitable[None]]) -> None:
        """`before_revoked` is called while the partitions are still ours."""
        self.reassigned = False
        """Partitions came or went: call `rewind`, and read everything again."""
        self._topic = kafka.alerts_topic
        self._before_revoked = before_revoked
        self.confirmed = False
        """The coordinator's last answer to whether we are a member of the group."""
        self._confirm_at = 0.0
        self._resume_offsets: dict[int, int] = {}
        self._never_committed: set[int] = set()
        self._committed: dict[int, int] = {}
        self._kafka = kafka
        self._topic_id: str | None = None
        self._reset: set[int] = set()
        """Partitions whose committed offset is void: they belong to another log, or have lost their end."""
        self._next_offsets: dict[int, int] = {}
        """By partition, the offset after the last record read."""
        self._topic_checked_at = time.monotonic()
        self._consumer = AIOKafkaConsumer(
            **async_options(kafka),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_TIMEOUT_MS,
            heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
        )

    async def start(self) -> None:
        """Join the group; raises KafkaError."""
        self._consumer.subscribe([self._topic], listener=self)
        await self._consumer.start()

    async def stop(self) -> None:
        """Leave the group, so that another notifier takes over at once."""
        await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: "set[TopicPartition]") -> None:
        """Let what is under way end, and commit it, so that the next owner does not send it again."""
        if revoked and not self.reassigned:
            try:
                await asyncio.wait_for(self._before_revoked(), HANDOVER_TIMEOUT_SECONDS)
            except TimeoutError:
                logger.warning("%s: a receiver hangs while its partitions are handed over", self._topic)
            except KafkaError as error:
                logger.warning(
                    "%s: not committed before its partitions are handed over: %s", self._topic, first_line(error)
                )
        self.reassigned = True

    async def on_partitions_assigned(self, _assigned: "set[TopicPartition]") -> None:
        """Have everything read again, by the receiver's own task."""
        self.reassigned = True

    async def rewind(self) -> None:
        """Go back to the beginning, with the committed offsets in mind; raises KafkaError."""
        self.reassigned = False
        tps = self._consumer.assignment()
        self._next_offsets.clear()
        self._topic_id = await self._current_topic_id()
        known = {tp.partition: commit for tp, commit in (await self._commits(tps)).items() if commit.offset >= 0}
        void = self._reset | {number for number, commit in known.items() if self._is_of_another_log(commit)}
        self._reset = set()
        if void:
            logger.warning("%s was created again or has lost its end: it is read from its beginning", self._topic)
        self._resume_offsets = {number: 0 if number in void else commit.offset for number, commit in known.items()}
        self._committed = {number: offset for number, offset in self._resume_offsets.items() if number not in void}
        self._never_committed = {tp.partition for tp in tps} - self._resume_offsets.keys()
        if tps:
            await self._consumer.seek_to_beginning(*tps)

    async def poll(self, room: int, timeout_ms: int = POLL_TIMEOUT_MS) -> list[ConsumerRecord]:
        """Up to `room` records in the order of their partitions; without room they stay in Kafka. Raises KafkaError.

        Call it regularly even without room: otherwise the group takes us for dead.
        """
        tps = self._consumer.assignment()
        if room > 0:
            self._consumer.resume(*tps)
        else:
            self._consumer.pause(*tps)
        batches = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=min(max(room, 1), POLL_BATCH_SIZE))
        records = [record for batch in batches.values() for record in batch]
        if await self._is_another_log(records):
            self._reset = {tp.partition for tp in tps}
            self.reassigned = True
        if self.reassigned:
            return []
        self._next_offsets |= {record.partition: record.offset + 1 for record in records}
        return records

    async def is_owner(self) -> bool:
        """Whether the group still counts us as a member, by the coordinator's answer of at most CONFIRMED_SECONDS ago.

        A process that was suspended, or cut off from the coordinator, still believes in its partitions while another
        one already sends what is in them.
        """
        now = time.monotonic()
        if now >= self._confirm_at:
            self.confirmed = await self._consumer._coordinator._do_heartbeat()  # noqa: SLF001
            self._confirm_at = now + (CONFIRMED_SECONDS if self.confirmed else RECONFIRM_SECONDS)
        return self.confirmed and not self.reassigned

    async def is_caught_up(self) -> bool:
        """Whether everything that the topic holds was read."""
        tps = self._consumer.assignment()
        if not await at_end(self._consumer, tps):
            return False
        self._reset = await self._ending_before(self._resume_offsets)
        if self._reset:
            self.reassigned = True
            return False
        self._never_committed.clear()
        return True

    def is_delivered(self, record: ConsumerRecord) -> bool:
        """Whether the receiver was done with it before we started."""
        return bool(record.offset < self._resume_offsets.get(record.partition, 0))

    def is_new(self, partition: int) -> bool:
        """Whether nothing of a partition was ever committed, and its end is not reached yet."""
        return partition in self._never_committed

    async def commit(self, first_waiting: Callable[[int], int | None]) -> Mapping[int, int]:
        """Commit everything before the first waiting transition; returns what is committed. Raises KafkaError."""
        moved: dict[TopicPartition, int] = {}
        for tp in self._consumer.assignment():
            waiting = first_waiting(tp.partition)
            offset = await self._consumer.position(tp) if waiting is None else waiting
            if offset > self._committed.get(tp.partition, -1):
                moved[tp] = offset
        if moved and not self.reassigned:
            metadata = self._topic_id or ""
            await self._consumer.commit({tp: OffsetAndMetadata(offset, metadata) for tp, offset in moved.items()})
            self._committed |= {tp.partition: offset for tp, offset in moved.items()}
        return self._committed

    async def _commits(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        """The committed offsets with their metadata, for which aiokafka has no public call; raises KafkaError."""
        found: dict[TopicPartition, OffsetAndMetadata]
        found = await self._consumer._coordinator.fetch_committed_offsets(list(tps))  # noqa: SLF001
        return found

    def _is_of_another_log(self, commit: OffsetAndMetadata) -> bool:
        """Whether an offset was committed for another log than the present one; False if that is not known."""
        return bool(commit.metadata and self._topic_id and commit.metadata != self._topic_id)

    async def _ending_before(self, offsets: Mapping[int, int]) -> set[int]:
        """The partitions that end before an offset, by the ends that their leaders name; raises KafkaError.

        The end that comes with a fetch may lie before what was already read, for a moment after a change of leaders.
        """
        suspects = [tp for tp in self._consumer.assignment() if self._seems_to_end_before(tp, offsets)]
        ends = await self._consumer.end_offsets(suspects) if suspects else {}
        return {tp.partition for tp, end in ends.items() if end < offsets[tp.partition]}

    def _seems_to_end_before(self, tp: TopicPartition, offsets: Mapping[int, int]) -> bool:
        """Whether the end, as of the last fetch, lies before an offset."""
        highwater = self._consumer.highwater(tp)
        return highwater is not None and bool(highwater < offsets.get(tp.partition, 0))

    async def _is_another_log(self, records: Iterable[ConsumerRecord]) -> bool:
        """Whether a partition ends before what was read of it, or the topic has another id, looked up now and then.

        Offsets also start again when a rebalance has put the consumer back to what is committed, which it does before
        the listener is called: then everything is read again, as after any rebalance.
        """
        starts_again = any(record.offset < self._next_offsets.get(record.partition, 0) for record in records)
        if starts_again:
            self.reassigned = True
            if await self._ending_before(self._next_offsets):
                return True
        if not starts_again and time.monotonic() - self._topic_checked_at < TOPIC_CHECK_INTERVAL_SECONDS:
            return False
        self._topic_checked_at = time.monotonic()
        return await self._current_topic_id() != self._topic_id

    async def _current_topic_id(self) -> str | None:
        """The topic's id; the known one while the broker does not answer, which others report."""
        try:
            return (await topic_ids(self._kafka, [self._topic])).get(self._topic, self._topic_id)
        except OSError:
            return self._topic_id

    def lag(self) -> int:
        """How many records are not committed."""
        return sum(
            max(0, (self._consumer.highwater(tp) or 0) - self._committed.get(tp.partition, 0))
            for tp in self._consumer.assignment()
        )


ConsumerRebalanceListener.register(AlertConsumer)  # aiokafka asks for the class, and is too untyped to inherit from
