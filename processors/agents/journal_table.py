"""The journal as a Faust table: Faust assigns, co-partitions, compacts and recovers it; its contents live in the parts.

It is a table only towards Faust. Nobody reads or sets its keys: Faust tables refuse to be written from timers and
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
"""Segments applied in one go: it bounds how long the event loop is held."""


class JournalTable(faust.Table[bytes, bytes]):
    """Routes the changelog into the parts."""

    logger = logging.getLogger("faust.tables.journal")

    def __init__(
        self, app: Any, topics: OutputTopics, parts: OwnedPartitions, watch: TopicWatch, metrics: WorkerMetrics
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
        self._parts = parts
        self._watch = watch
        self._metrics = metrics
        self._assigned_at = 0.0
        self.replayed = 0

    def _changelog_topic_name(self) -> str:
        return self._topic_name

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Drop the parts that have left, at once, and make room for new ones."""
        numbers = {tp.partition for tp in assigned if tp.topic in self._parts.topics}
        self._parts.assign(numbers, generation_id)
        self._metrics.rebalances.inc()
        self._metrics.partitions_owned.set(len(self._parts.recovered()))
        self._assigned_at, self.replayed = time.monotonic(), 0
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def persisted_offset(self, tp: TP) -> int | None:
        """The last changelog offset that need not be read again: a kept part's is the last one that it wrote."""
        part = self._parts.get(tp.partition)
        return NO_OFFSET if part is None else part.changelog_offset

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Take changelog records. Faust only logs what this raises: so it stops the worker itself."""
        try:
            for event in batch:
                part = self._parts.get(event.message.partition)
                # A buffer may outlive the assignment that filled it.
                if part is not None and event.message.generation_id == self._parts.generation:
                    self._require_readable(event.message.partition, event.value)
                    self._restore(part, event)
        except Exception as error:
            self.crash_app(error)
            raise

    def _require_readable(self, partition: int, value: object) -> None:
        """Raise JournalError for what cannot be read: to pass over it would lose facts in silence."""
        if isinstance(value, UnreadableRange):
            raise JournalError(
                f"{self._topic_name}/{partition}: offsets {value.first} to {value.last} of the journal cannot be read "
                f"({value.detail}): without them numbers would be wrong; {JOURNAL_MEND}"
            )

    def _restore(self, part: OwnedPartition, event: Any) -> None:
        """Take a changelog record. One that no worker has written is a dead letter, and leaves the journal."""
        try:
            self.replayed += part.restore(event.key, event.value, event.message.offset)
        except ForeignRecord as foreign:
            message = event.message
            source = (self._topic_name, message.partition)
            logger.error("%s/%d offset %d: %s; it is passed over", *source, message.offset, foreign)  # noqa: TRY400
            record = RefusedEntry.of(event, BadRecord(Reason.MALFORMED, str(foreign)))
            part.unsent.append(self._dead_letters.of_record(source, record, record.why))
            self._metrics.dead_letter(Reason.MALFORMED)
            if event.key is not None:
                part.journal.withdraw(event.key)
                part.spoken = True

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Open the recovered parts for business, unless a later assignment has taken their place."""
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
        # What was recovered stays: garbage collection need not look at it again and again.
        gc.collect()
        gc.freeze()
        seconds = time.monotonic() - self._assigned_at
        self._metrics.recovery_seconds.observe(seconds)
        logger.info("owns %s: %d events replayed in %.1f s", self._owned(), self.replayed, seconds)
        await super().on_recovery_completed(active_tps, standby_tps)

    async def _open(self) -> bool:
        """Begin with every part; false when a rebalance came before the end, and its recovery will."""
        app: Any = self.app
        for part in self._parts:
            if not self._parts.are_read:
                return False
            if not part.recovered:
                part.begin(app.clock.now_us())
                self._watch.adopt(part)
                await asyncio.sleep(0)
        # Those that were kept as well: in a rebalance, time stands still.
        for part in self._parts:
            part.watched_us = app.clock.now_us()
        return self._parts.are_read

    def crash_app(self, error: Exception) -> None:
        """Stop the worker."""
        self._crashing = asyncio.ensure_future(self.app.crash(error))

    def _owned(self) -> str:
        return ", ".join(part.label for part in self._parts) or "no partition"
