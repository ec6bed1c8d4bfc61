"""Recovery bound to its assignment: once a later rebalance has overtaken it, it opens no partition.

Faust 0.15.3 mistakes three things for the end of a recovery:

- a rebalance while changelogs are read: it drops the exception, and completes with the partitions of the next
  assignment, whose changelogs are not read yet;
- callbacks of tables that outlive the recovery that began them;
- a request that took too long: it never recovers again.

Besides, changelog records that were fetched for an earlier assignment move the offsets of the next one beyond records
that are not read yet. Hooks below Faust's public API; `tests/contract` guards them.
"""


# ruff: noqa: SLF001 -- hooked below its public API on purpose

import logging
from typing import Any

from faust.tables import TableManager
from faust.tables.recovery import RebalanceAgain, Recovery, ServiceStopped
from mode.utils.queues import ThrowableQueue

from processors.agents.partitions import NO_OFFSET

logger = logging.getLogger(__name__)


class AssignedRecovery(Recovery):
    """Faust's recovery, except that it completes only for the assignment whose changelogs it has read."""

    logger = logging.getLogger("faust.tables.recovery")
    _measured_generation = NO_OFFSET
    """The generation for which the ends of the changelogs are known."""

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Open the partitions if their changelogs were read; raises RebalanceAgain."""
        if self.signal_recovery_start.is_set():
            raise RebalanceAgain
        if self._measured_generation != generation_id or self.need_recovery():
            raise self._again("it is incomplete")
        app: Any = self.app
        app.partitions.set_changelogs_read(generation_id)
        await super().on_recovery_completed(generation_id)

    async def _build_highwaters(self, consumer: Any, tps: Any, destination: Any, title: str) -> None:
        generation = self._generation_id
        await super()._build_highwaters(consumer, tps, destination, title)
        if title == "active":
            self._measured_generation = generation

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        """Wait; begin again after a rebalance or a timeout. Raises RebalanceAgain, ServiceStopped."""
        try:
            await super()._wait(coro, timeout)
        except ServiceStopped:
            if self.should_stop or self._crashed.is_set():
                raise
            raise self._again(f"no answer within {timeout} s") from None
        except RebalanceAgain:
            raise
        except TimeoutError as error:
            raise self._again("no answer in time") from error
        except Exception as error:
            # A later assignment has overtaken it, and the offsets of that one are not known yet.
            if self.signal_recovery_start.is_set():
                raise RebalanceAgain from error
            raise

    def _again(self, why: str) -> RebalanceAgain:
        logger.warning("the recovery of generation %d begins again: %s", self._generation_id, why)
        self.signal_recovery_start.set()
        return RebalanceAgain()


class ChangelogQueue(ThrowableQueue):
    """Changelog records on their way to the tables: all of the present assignment, and no others."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(flow_control=app.flow_control, clear_on_resume=True, **options)
        self._app = app

    async def get(self) -> Any:
        """The next record of the present assignment."""
        while True:
            event = await super().get()
            if self._is_present(event):
                return event

    def clear(self) -> None:
        """Drop records of earlier assignments. Faust would drop all, even when it resumes within an assignment."""
        untyped: Any = self
        waiting = untyped._queue
        present = [event for event in waiting if self._is_present(event)]
        if len(present) < len(waiting):
            super().clear()
            waiting.extend(present)

    def _is_present(self, event: Any) -> bool:
        return bool(event.message.generation_id == self._app.consumer_generation_id)


class AssignedTables(TableManager):
    """Faust's tables with the recovery and the queue of this module."""

    logger = logging.getLogger("faust.tables")

    @property
    def recovery(self) -> Recovery:
        """The app's only recovery."""
        if self._recovery is None:
            self._recovery = AssignedRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    @property
    def changelog_queue(self) -> ThrowableQueue:
        """The queue that all changelogs share."""
        if self._changelog_queue is None:
            self._changelog_queue = ChangelogQueue(self.app, maxsize=self.app.conf.stream_buffer_maxsize)
        return self._changelog_queue
