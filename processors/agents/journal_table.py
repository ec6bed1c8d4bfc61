"""The journal as a Faust table: Faust assigns, co-partitions and recovers it; its contents are in the partitions.

It is a table towards Faust alone, and its keys are never read or set. Faust tables refuse writes from timers and
rebalances, mix the partitions of one key, and may commit a source offset before the changelog is acknowledged.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Iterable
from typing import Any

import faust
from faust.types import TP

from processors.agents.checkpoints import OutputTopics
from processors.agents.directory_dead_letters import RefusedEntry
from processors.agents.journal_format import ForeignRecord, JournalError
from processors.agents.metrics import WorkerMetrics
from processors.agents.partitions import NO_OFFSET, OwnedPartition, OwnedPartitions
from processors.agents.topic_watch import TopicChanged, TopicWatch
from processors.kafka.record_frames import UnreadableRange
from schemas.errors import BadRecord, Reason

logger = logging.getLogger(__name__)

JOURNAL_MEND = "set kafka.group to another name, then run `salespulse topics`: the workers read all events anew"

RECOVERY_BUFFER = 2
"""Segments applied in one go. It bounds how long the event loop is held."""


class JournalTable(faust.Table[bytes, bytes]):
    """Restores the owned partitions from their changelogs."""

    logger = logging.getLogger("faust.tables.journal")

    def __init__(
        self, app: Any, topics: OutputTopics, partitions: OwnedPartitions, watch: TopicWatch, metrics: WorkerMetrics
    ) -> None:
        super().__init__(
            app,
            name="journal",
            key_type=bytes,
            value_type=bytes,
            recovery_buffer_size=RECOVERY_BUFFER,
            beacon=app.tables.beacon,
        )
        self._topic_name, self._dead_letters = topics.journal, topics.dead_letters
        self._partitions = partitions
        self._watch = watch
        self._metrics = metrics
        self._assigned_at = 0.0
        self.replayed = 0

    def _changelog_topic_name(self) -> str:
        return self._topic_name

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Drop the partitions that have left at once, and add the new ones."""
        numbers = {tp.partition for tp in assigned if tp.topic in self._partitions.topics}
        self._partitions.assign(numbers, generation_id)
        self._metrics.rebalances.inc()
        self._metrics.partitions_owned.set(len(self._partitions.recovered()))
        self._assigned_at, self.replayed = time.monotonic(), 0
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def persisted_offset(self, tp: TP) -> int | None:
        """The last changelog offset that need not be read again; for a kept partition, the last one it wrote."""
        partition = self._partitions.get(tp.partition)
        return NO_OFFSET if partition is None else partition.changelog_offset

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Restore from changelog records. Faust only logs what this raises, so any error stops the worker here."""
        try:
            for event in batch:
                partition = self._partitions.get(event.message.partition)
                # Faust's buffer may outlive the assignment that filled it.
                if partition is not None and event.message.generation_id == self._partitions.generation:
                    self._require_readable(event.message.partition, event.value)
                    self._restore(partition, event)
        except Exception as error:
            self.crash_app(error)
            raise

    def _require_readable(self, partition: int, value: object) -> None:
        """Raise JournalError for a record that cannot be read. To skip it would lose events silently."""
        if isinstance(value, UnreadableRange):
            raise JournalError(
                f"{self._topic_name}/{partition}: offsets {value.first} to {value.last} of the journal cannot be read "
                f"({value.detail}): without them numbers would be wrong; {JOURNAL_MEND}"
            )

    def _restore(self, partition: OwnedPartition, event: Any) -> None:
        """Restore from one record. A record that no worker has written gets a dead letter and leaves the journal."""
        try:
            self.replayed += partition.restore(event.key, event.value, event.message.offset)
        except ForeignRecord as foreign:
            message = event.message
            source = (self._topic_name, message.partition)
            logger.error("%s/%d offset %d: %s; it is passed over", *source, message.offset, foreign)  # noqa: TRY400
            record = RefusedEntry.of(event, BadRecord(Reason.MALFORMED, str(foreign)))
            partition.outbox.add(self._dead_letters.of_record(source, record, record.why))
            self._metrics.dead_letter(Reason.MALFORMED)
            if event.key is not None:
                partition.journal.withdraw(event.key)
                partition.outdate_mark()

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Begin with the recovered partitions, unless a later assignment has replaced this one."""
        try:
            complete = await self._open()
        except TopicChanged as changed:
            self.crash_app(changed)
            return
        except Exception as error:
            self.crash_app(error)
            raise
        if not complete:
            return
        # The recovered state stays, so garbage collection need not examine it again and again.
        gc.collect()
        gc.freeze()
        seconds = time.monotonic() - self._assigned_at
        self._metrics.recovery_seconds.observe(seconds)
        logger.info("owns %s: %d events replayed in %.1f s", self._owned(), self.replayed, seconds)
        await super().on_recovery_completed(active_tps, standby_tps)

    async def _open(self) -> bool:
        """Begin with every partition; False if a rebalance came first, whose own recovery will begin with them."""
        app: Any = self.app
        for partition in self._partitions:
            if not self._partitions.changelogs_are_read:
                return False
            if not partition.recovered:
                partition.begin(app.clock.now_us())
                self._watch.adopt(partition)
                await asyncio.sleep(0)
        # Kept partitions too: during the rebalance, no timer ran.
        for partition in self._partitions:
            partition.watch_from(app.clock.now_us())
        return self._partitions.changelogs_are_read

    def crash_app(self, error: Exception) -> None:
        """Stop the worker."""
        self._crashing = asyncio.ensure_future(self.app.crash(error))

    def _owned(self) -> str:
        return ", ".join(partition.label for partition in self._partitions) or "no partition"
