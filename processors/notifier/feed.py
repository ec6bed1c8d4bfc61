"""The topic of transitions as one receiver reads it: from its beginning, with the offset up to which it is done.

The topic is compacted, so its beginning holds what is active; the committed offset of the receiver's own consumer group
says what was told. Each receiver has a group of its own: the topic is the queue of each, an hour without a receiver
costs no memory, and none waits for another. Several notifiers share the partitions of every group.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from processors.notifier.told import at_end
from processors.sinks.kafka_client import connection, line

logger = logging.getLogger(__name__)

SESSION_MS = 6000
HEARTBEAT_MS = 1000
REBALANCE_MS = 3000
"""How long the group waits for its members when one comes or goes: the embedded broker waits for all of it."""
POLL_MS = 200
MOST_RECORDS = 1000
OWNED_SECONDS = 3.0
"""So long after the coordinator confirmed it, the group counts us as a member: half of its session."""
UNCONFIRMED_SECONDS = 0.5
"""How long to wait before the coordinator is asked again."""
HANDOVER_SECONDS = 2.0
"""A receiver that hangs does not hold back the hand-over of partitions for longer: less than REBALANCE_MS."""


class Feed:
    """The consumer of one receiver."""

    def __init__(self, kafka: KafkaSettings, group: str, before_leaving: Callable[[], Awaitable[None]]) -> None:
        """`before_leaving`: called while the partitions are still ours, before others get them."""
        self.reassigned = False
        """Partitions came or went: everything that was read of them is to be read again, after `rewind`."""
        self._topic = kafka.alerts_topic
        self._before_leaving = before_leaving
        self.confirmed = False
        """The coordinator's last answer: whether we are a member of the group."""
        self._confirm_at = 0.0
        self._resume: dict[int, int] = {}
        self._new: set[int] = set()
        self._committed: dict[int, int] = {}
        self._consumer = AIOKafkaConsumer(
            **connection(kafka),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_MS,
        )

    async def start(self) -> None:
        """Join the group; raises KafkaError."""
        self._consumer.subscribe([self._topic], listener=self)
        await self._consumer.start()

    async def stop(self) -> None:
        """Leave the group, so that another notifier takes over at once."""
        await self._consumer.stop()

    async def on_partitions_revoked(self, revoked: "set[TopicPartition]") -> None:
        """Let what is under way come to its end, so that the next owner does not tell it again."""
        if revoked and not self.reassigned:
            try:
                await asyncio.wait_for(self._before_leaving(), HANDOVER_SECONDS)
            except TimeoutError:
                logger.warning("%s: a receiver hangs while its partitions go elsewhere", self._topic)
            except KafkaError as error:
                logger.warning("%s: not committed before its partitions go elsewhere: %s", self._topic, line(error))
        self.reassigned = True

    async def on_partitions_assigned(self, _assigned: "set[TopicPartition]") -> None:
        """Everything is read anew, when the receiver's own task gets to it."""
        self.reassigned = True

    async def rewind(self) -> None:
        """Go back to the beginning, knowing what is done; raises KafkaError."""
        self.reassigned = False
        tps = self._consumer.assignment()
        known = {tp.partition: await self._consumer.committed(tp) for tp in tps}
        self._resume = {number: offset for number, offset in known.items() if offset is not None}
        self._committed = dict(self._resume)
        self._new = known.keys() - self._resume.keys()
        if tps:
            await self._consumer.seek_to_beginning(*tps)

    async def poll(self, room: int, timeout_ms: int = POLL_MS) -> list[ConsumerRecord]:
        """Up to `room` records in the order of their partitions; without room the topic keeps them. Raises KafkaError.

        It is to be called regularly all the same, for the group to know that we live.
        """
        tps = self._consumer.assignment()
        if room > 0:
            self._consumer.resume(*tps)
        else:
            self._consumer.pause(*tps)
        batches = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=min(max(room, 1), MOST_RECORDS))
        return [record for batch in batches.values() for record in batch]

    async def is_owner(self) -> bool:
        """Whether the group still counts us as a member, by the word of its coordinator from a moment ago.

        A process that was stopped, or cut off from the coordinator, keeps its partitions in memory while another one
        already sends what is in them.
        """
        now = time.monotonic()
        if now >= self._confirm_at:
            self.confirmed = await self._consumer._coordinator._do_heartbeat()  # noqa: SLF001
            self._confirm_at = now + (OWNED_SECONDS if self.confirmed else UNCONFIRMED_SECONDS)
        return self.confirmed and not self.reassigned

    async def at_present(self) -> bool:
        """Whether everything that the topic holds was read."""
        if not await at_end(self._consumer, self._consumer.assignment()):
            return False
        self._new.clear()
        return True

    def is_done(self, record: ConsumerRecord) -> bool:
        """Whether the receiver was done with it before we began."""
        return bool(record.offset < self._resume.get(record.partition, 0))

    def is_new(self, partition: int) -> bool:
        """Whether a partition is read for the first time ever, and its end was not reached yet."""
        return partition in self._new

    async def commit(self, first_waiting: Callable[[int], int | None]) -> Mapping[int, int]:
        """Commit everything before the first transition that waits; gives what is committed. Raises KafkaError."""
        moved: dict[TopicPartition, int] = {}
        for tp in self._consumer.assignment():
            waiting = first_waiting(tp.partition)
            offset = await self._consumer.position(tp) if waiting is None else waiting
            if offset > self._committed.get(tp.partition, -1):
                moved[tp] = offset
        if moved and not self.reassigned:
            await self._consumer.commit(moved)
            self._committed |= {tp.partition: offset for tp, offset in moved.items()}
        return self._committed

    def lag(self) -> int:
        """How many records the receiver is not done with."""
        return sum(
            max(0, (self._consumer.highwater(tp) or 0) - self._committed.get(tp.partition, 0))
            for tp in self._consumer.assignment()
        )


ConsumerRebalanceListener.register(Feed)  # aiokafka asks for the class, and is too untyped to inherit from
