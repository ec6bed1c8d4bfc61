"""Sends one receiver what is due, and acts on its answer: logged as sent, moved to the dead letters, or tried again."""

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping

from config.clock import wall_us
from processors.notifier.batching import next_batches
from processors.notifier.delivery_log import DeliveryLog, LogContents
from processors.notifier.delivery_queue import DeliveryQueue
from processors.notifier.delivery_record import DeliveryRecord
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.notification_dead_letters import NotificationDeadLetters
from processors.notifier.receivers.base import Notification, NotificationBatch, Receiver, Rejected, TryAgain
from processors.notifier.redacted_errors import type_and_line

logger = logging.getLogger(__name__)

MIN_PAUSE_SECONDS = 0.5
MAX_DOUBLINGS = 16
MAX_FAILURES_ALONE = 30
"""A message is tried this often while the receiver accepts others: with the pauses, for a quarter of an hour."""

SendOutcome = Mapping[str, str] | TryAgain | Rejected
"""Keys of rejected notifications with the reason, or what was raised."""
FailedBatch = tuple[NotificationBatch, TryAgain]
Refusal = tuple[Notification, str]
"""A notification that is given up, with the reason."""


class Sender:
    """Sends to one receiver, a round at a time."""

    def __init__(
        self,
        receiver: Receiver,
        log: DeliveryLog,
        dead_letters: NotificationDeadLetters,
        metrics: NotifierMetrics,
        max_pause_seconds: float,
    ) -> None:
        """`max_pause_seconds`: the longest pause before another try."""
        self.queue = DeliveryQueue(receiver.policy)
        self.digests: dict[str, int] = {}
        """When each rep was sent a digest last (wall clock, microseconds since 1970)."""
        self._unlogged_digests: dict[str, int] = {}
        self._receiver = receiver
        self._log = log
        self._dead_letters = dead_letters
        self._metrics = metrics
        self._max_pause_seconds = max_pause_seconds
        self._failures = 0
        self._pause_until = 0.0

    def next_batches(self) -> list[NotificationBatch]:
        """What may go out now. While the receiver accepts nothing, a single batch probes it."""
        now = time.monotonic()
        if now < self._pause_until:
            return []
        policy = self._receiver.policy
        max_batches = 1 if self._failures else policy.max_in_flight
        return next_batches(self.queue.due(now), policy, self.digests, wall_us(), max_batches)

    async def send_due(self) -> None:
        """Send what may go out now, and log the result; raises KafkaError."""
        batches = self.next_batches()
        outcomes = await asyncio.gather(*map(self._send, batches))
        failed: list[FailedBatch] = []
        refused: list[Refusal] = []
        accepted = False
        for batch, outcome in zip(batches, outcomes, strict=True):
            if isinstance(outcome, TryAgain):
                failed.append((batch, outcome))
            else:
                accepted = True
                refused += self._mark_sent(batch, outcome)
        self._note_digests(batches, outcomes)
        await self.write_log()
        refused += self._drain_hopeless(failed, accepted=accepted)
        for notification, why in refused:
            await self._give_up(notification, why)
        await self.write_log()
        self._back_off(failed, accepted=accepted)

    async def write_log(self) -> None:
        """Write what was sent; returns when the broker has it. Raises KafkaError: then it is written later."""
        await self._log.write(self.queue.unlogged, self._unlogged_digests.items())
        self.queue.unlogged.clear()
        self._unlogged_digests.clear()

    def restart(self, contents: LogContents) -> dict[str, DeliveryRecord]:
        """Start over with what the log holds; returns the last record of each alert, by its id.

        What was sent while Kafka accepted no records is not in the log yet, and counts as sent all the same.
        """
        records = dict(contents.records)
        unlogged = [record for record in self.queue.unlogged if record.is_newer_than(records.get(record.alert_id))]
        records |= {record.alert_id: record for record in unlogged}
        self.queue = DeliveryQueue(self._receiver.policy)
        self.queue.unlogged = unlogged
        self.digests = contents.digests | self._unlogged_digests
        return records

    async def _send(self, batch: NotificationBatch) -> SendOutcome:
        try:
            return await self._receiver.send(batch)
        except (TryAgain, Rejected) as error:
            return error
        except Exception as error:  # noqa: BLE001 -- whatever one message does, it costs that message alone
            return await self._send_halves(batch, error)

    async def _send_halves(self, batch: NotificationBatch, error: Exception) -> SendOutcome:
        """A message could not be composed: find the notification that it fails on, and send the others."""
        if len(batch) == 1:
            return Rejected(type_and_line(error))
        middle = len(batch) // 2
        rejected: dict[str, str] = {}
        for half in (batch[:middle], batch[middle:]):
            outcome = await self._send(half)
            if isinstance(outcome, TryAgain):
                return outcome
            rejected |= {n.key: str(outcome) for n in half} if isinstance(outcome, Rejected) else outcome
        return rejected

    def _drain_hopeless(self, failed: list[FailedBatch], *, accepted: bool) -> list[Refusal]:
        """Take out of `failed` what fails again and again while the receiver accepts others: it is given up."""
        hopeless = [one for one in failed if accepted and any(n.failures >= MAX_FAILURES_ALONE for n in one[0])]
        failed[:] = [one for one in failed if one not in hopeless]
        return [(n, f"tried {n.failures + 1} times: {error}") for batch, error in hopeless for n in batch]

    def _mark_sent(self, batch: NotificationBatch, outcome: Mapping[str, str] | Rejected) -> list[Refusal]:
        """Mark what the receiver accepted; returns what it rejected."""
        if isinstance(outcome, Rejected):
            return [(notification, str(outcome)) for notification in batch]
        for notification in batch:
            if notification.key not in outcome:
                self.queue.mark_sent(notification)
                self._count(notification)
        return [(notification, outcome[notification.key]) for notification in batch if notification.key in outcome]

    def _count(self, notification: Notification) -> None:
        self._metrics.notifications.labels(self._receiver.name, "sent").inc()
        if notification.position is not None:
            delay_us = wall_us() - notification.position.timestamp_ms * 1000
            self._metrics.delay_seconds.labels(self._receiver.name).observe(max(delay_us, 0) / 1_000_000)

    def _note_digests(self, batches: Iterable[NotificationBatch], outcomes: Iterable[SendOutcome]) -> None:
        """Note the reps whose digest has just gone out."""
        if not self._receiver.policy.digest_seconds:
            return
        sent = [
            batch
            for batch, outcome in zip(batches, outcomes, strict=True)
            if not isinstance(outcome, TryAgain | Rejected)
        ]
        digests = {batch[0].transition.rep_id: wall_us() for batch in sent}
        self.digests |= digests
        self._unlogged_digests |= digests

    async def _give_up(self, notification: Notification, why: str) -> None:
        # The dead letter comes first: a crash in between writes it twice rather than not at all.
        await self._dead_letters.add_rejected(self._receiver.name, notification, why)
        self.queue.mark_rejected(notification)
        self._metrics.notifications.labels(self._receiver.name, "rejected").inc()
        logger.warning("%s rejected %s: %s", self._receiver.name, notification.key, why)

    def _back_off(self, failed: list[FailedBatch], *, accepted: bool) -> None:
        """Pause the whole receiver if it accepted nothing, else only what it did not accept."""
        if accepted and self._failures:
            logger.info("%s accepts alerts again", self._receiver.name)
        self._failures = 0 if accepted else self._failures + bool(failed)
        for batch, error in failed:
            self._metrics.notifications.labels(self._receiver.name, "failed").inc(len(batch))
            self._put_off(batch, error, alone=accepted)
        if failed and self._failures == 1:
            logger.warning("%s does not accept alerts: %s; trying again", self._receiver.name, failed[0][1])

    def _put_off(self, batch: NotificationBatch, error: TryAgain, *, alone: bool) -> None:
        now = time.monotonic()
        for notification in batch if alone else ():
            notification.failures += 1
            notification.not_before = now + self._pause_seconds(notification.failures)
        after_seconds = error.after_seconds or 0.0
        pause = after_seconds if alone else max(after_seconds, self._pause_seconds(self._failures))
        self._pause_until = max(self._pause_until, now + pause)

    def _pause_seconds(self, failures: int) -> float:
        """Twice as long each time, up to a limit, and up to half of it cut at random to spread the tries."""
        longest = min(self._max_pause_seconds, MIN_PAUSE_SECONDS * 2.0 ** min(failures - 1, MAX_DOUBLINGS))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311 -- nothing secret
