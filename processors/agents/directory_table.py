"""The directory of reps as a Faust global table: every worker reads all of `crm.reps`, and continues to read it."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import faust
from faust.types import TP

from processors.agents.directory_dead_letters import DirectoryDeadLetters, RefusedEntry
from processors.agents.metrics import WorkerMetrics
from processors.agents.partitions import NO_OFFSET
from processors.core.state.directory import Directory
from processors.kafka.record_frames import UnreadableRange
from schemas import codec
from schemas.errors import BadRecord, Reason

logger = logging.getLogger(__name__)

EVENT_TYPE = "rep.updated"


class DirectoryTable(faust.GlobalTable):
    """Puts entries into the Directory, and collects the reps whose entries are new."""

    logger = logging.getLogger("faust.tables.reps")

    def __init__(
        self,
        app: Any,
        *,
        topic: str,
        directory: Directory,
        dead_letters: DirectoryDeadLetters,
        metrics: WorkerMetrics,
    ) -> None:
        super().__init__(
            app,
            name="reps",
            key_type=bytes,
            value_type=bytes,
            # With any other size, Faust would stop reading the topic after recovery.
            recovery_buffer_size=1,
            standby_buffer_size=1,
            is_global=True,
            beacon=app.tables.beacon,
        )
        self._topic_name = topic
        self._directory = directory
        self.dead_letters = dead_letters
        self._metrics = metrics
        self._changed: set[str] = set()
        self.offsets: dict[str, int] = {}
        """rep_id to the offset of its newest entry."""

    def _changelog_topic_name(self) -> str:
        return self._topic_name

    def persisted_offset(self, tp: TP) -> int | None:
        """Where to read on. A worker that reports refused entries from now on reads from the first entry."""
        return NO_OFFSET if self.dead_letters.must_reread else super().persisted_offset(tp)

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Apply entries. A bad entry is refused, and the former one stays. A tombstone removes a rep.

        Faust only logs what this raises, so anything unexpected stops the worker.
        """
        try:
            self._apply(batch)
        except Exception as error:
            self._crashing = asyncio.ensure_future(self.app.crash(error))
            raise

    def _apply(self, batch: Iterable[Any]) -> None:
        for event in batch:
            if isinstance(event.value, UnreadableRange):
                self._refuse_batch(event.message.partition, event.value)
                continue
            if event.value is None:
                self._remove(event.key, event.message.offset)
                continue
            try:
                self._put(event.value, event.message.offset)
            except BadRecord as bad:
                self._refuse(event, bad)

    def mark_all_changed(self) -> None:
        """Treat all entries as new, for a read model that has lost them."""
        self._changed |= self.offsets.keys()

    @property
    def reached(self) -> int:
        """The offset after the newest entry that was read."""
        return max(self.offsets.values(), default=NO_OFFSET) + 1

    def drain_changed(self) -> set[str]:
        """The reps whose entries have changed since the last call."""
        changed, self._changed = self._changed, set()
        return changed

    def _remove(self, key: bytes | None, offset: int) -> None:
        rep_id = _rep_of(key)
        self._directory.remove(rep_id)
        # Even for an unknown rep: compaction may have left only the tombstone, while the read model still has the rep.
        self._mark(rep_id, offset)
        self._metrics.events(EVENT_TYPE, Reason.TOMBSTONE, 1)

    def _mark(self, rep_id: str, offset: int) -> None:
        self._changed.add(rep_id)
        self.offsets[rep_id] = offset

    def _refuse(self, event: Any, bad: BadRecord) -> None:
        message = event.message
        where = f"{self._topic_name}/{message.partition} offset {message.offset}"
        logger.warning("%s: %s; the former entry stays", where, bad)
        # An earlier version may have accepted and published it. Publish as of it what stays, even if that is nothing.
        self._mark(_rep_of(event.key), message.offset)
        self._metrics.events(EVENT_TYPE, bad.reason, 1)
        self.dead_letters.add(RefusedEntry.of(event, bad))

    def _refuse_batch(self, partition: int, unreadable: UnreadableRange) -> None:
        """Refuse entries that cannot be read; the former ones stay."""
        where = f"{self._topic_name}/{partition} offsets {unreadable.first} to {unreadable.last}"
        logger.error("%s cannot be read: %s; the former entries stay", where, unreadable.detail)
        bad = BadRecord(Reason.UNREADABLE_BATCH, unreadable.detail)
        at_ms = self._now_us() // 1000
        self.dead_letters.add(RefusedEntry(partition, unreadable.first, None, unreadable.raw, at_ms, bad, unreadable))

    def _now_us(self) -> int:
        """The app's clock."""
        app: Any = self.app
        return int(app.now_us())

    def _put(self, value: bytes, offset: int) -> None:
        rep = codec.decode_rep(value)
        if self._directory.put(rep):
            self._changed.add(rep.rep_id)
            self._metrics.expect_team(self._directory.team(rep.rep_id))
        self.offsets[rep.rep_id] = offset
        self._metrics.events(EVENT_TYPE, "applied", 1)


def _rep_of(key: bytes | None) -> str:
    """The rep of a record without a readable entry."""
    return (key or b"").decode("utf-8", "replace")
