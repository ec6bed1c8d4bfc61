"""The topic of transitions as one receiver reads it: from its beginning, with the offset up to which it is done.

The topic is compacted, so its beginning holds what is active; the committed offset of the receiver's own consumer group
says what was told. Each receiver has a group of its own: the topic is the queue of each, an hour without a receiver
costs no memory, and none waits for another. Several notifiers share the partitions of every group.

Of a topic that was made anew, or has lost its end, nothing is done: it is read from its beginning, and the log of what
was told keeps alerts from being told twice. The topic's id stands in the metadata of the committed offset.
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
from processors.notifier.told import at_end

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
CHECK_SECONDS = 10.0
"""The topic's id is asked for so often."""
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
        self._kafka = kafka
        self._topic_id: str | None = None
        self._anew: set[int] = set()
        """Partitions of which nothing is done, whatever was committed: of another log, or without the end of theirs."""
        self._next: dict[int, int] = {}
        """The offset after the last record that was read of a partition."""
        self._checked = time.monotonic()
        self._consumer = AIOKafkaConsumer(
            **async_options(kafka),
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
                logger.warning(
                    "%s: not committed before its partitions go elsewhere: %s", self._topic, first_line(error)
                )
        self.reassigned = True

    async def on_partitions_assigned(self, _assigned: "set[TopicPartition]") -> None:
        """Everything is read anew, when the receiver's own task gets to it."""
        self.reassigned = True

    async def rewind(self) -> None:
        """Go back to the beginning, knowing what is done; raises KafkaError."""
        self.reassigned = False
        tps = self._consumer.assignment()
        self._next.clear()
        self._topic_id = await self._present_id()
        known = {tp.partition: commit for tp, commit in (await self._commits(tps)).items() if commit.offset >= 0}
        anew = self._anew | {number for number, commit in known.items() if self._is_of_another_log(commit)}
        self._anew = set()
        if anew:
            logger.warning("%s was made anew or has lost its end: it is read from its beginning", self._topic)
        self._resume = {number: 0 if number in anew else commit.offset for number, commit in known.items()}
        self._committed = {number: offset for number, offset in self._resume.items() if number not in anew}
        self._new = {tp.partition for tp in tps} - self._resume.keys()
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
        records = [record for batch in batches.values() for record in batch]
        if await self._is_another_log(records):
            self._anew = {tp.partition for tp in tps}
            self.reassigned = True
        if self.reassigned:
            return []
        self._next |= {record.partition: record.offset + 1 for record in records}
        return records

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
        tps = self._consumer.assignment()
        if not await at_end(self._consumer, tps):
            return False
        self._anew = await self._ending_before(self._resume)
        if self._anew:
            self.reassigned = True
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
            metadata = self._topic_id or ""
            await self._consumer.commit({tp: OffsetAndMetadata(offset, metadata) for tp, offset in moved.items()})
            self._committed |= {tp.partition: offset for tp, offset in moved.items()}
        return self._committed

    async def _commits(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        """What was committed, with its metadata, for which aiokafka has no public call; raises KafkaError."""
        found: dict[TopicPartition, OffsetAndMetadata]
        found = await self._consumer._coordinator.fetch_committed_offsets(list(tps))  # noqa: SLF001
        return found

    def _is_of_another_log(self, commit: OffsetAndMetadata) -> bool:
        """Whether what was committed is of another log than the present one; false if that is not known."""
        return bool(commit.metadata and self._topic_id and commit.metadata != self._topic_id)

    async def _ending_before(self, offsets: Mapping[int, int]) -> set[int]:
        """The partitions that end before an offset, as their leaders name the ends; raises KafkaError.

        The end that comes with a fetch may lie before what was read already, for a moment after a change of leaders.
        """
        suspects = [tp for tp in self._consumer.assignment() if self._seems_to_end_before(tp, offsets)]
        ends = await self._consumer.end_offsets(suspects) if suspects else {}
        return {tp.partition for tp, end in ends.items() if end < offsets[tp.partition]}

    def _seems_to_end_before(self, tp: TopicPartition, offsets: Mapping[int, int]) -> bool:
        highwater = self._consumer.highwater(tp)
        return highwater is not None and bool(highwater < offsets.get(tp.partition, 0))

    async def _is_another_log(self, records: Iterable[ConsumerRecord]) -> bool:
        """Whether a partition ends before what was read of it, or the topic has another id; asked for now and then.

        Offsets also begin again when a rebalance has put the consumer back to what is committed, which it does before
        anybody is told: then everything is read again, as after any rebalance.
        """
        began_again = any(record.offset < self._next.get(record.partition, 0) for record in records)
        if began_again:
            self.reassigned = True
            if await self._ending_before(self._next):
                return True
        if not began_again and time.monotonic() - self._checked < CHECK_SECONDS:
            return False
        self._checked = time.monotonic()
        return await self._present_id() != self._topic_id

    async def _present_id(self) -> str | None:
        """The topic's id; the one that is known while the broker does not answer, which others tell."""
        try:
            return (await topic_ids(self._kafka, [self._topic])).get(self._topic, self._topic_id)
        except OSError:
            return self._topic_id

    def lag(self) -> int:
        """How many records the receiver is not done with."""
        return sum(
            max(0, (self._consumer.highwater(tp) or 0) - self._committed.get(tp.partition, 0))
            for tp in self._consumer.assignment()
        )


ConsumerRebalanceListener.register(Feed)  # aiokafka asks for the class, and is too untyped to inherit from
