"""One receiver's task: read, send, log and commit in rounds, so that a crash repeats one round at most."""

import asyncio
import logging
import time
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError

from config.clock import Clock
from config.settings import Settings
from processors.core.time.instants import SECOND_US
from processors.kafka.connection import first_line
from processors.notifier.active_holds import ActiveHolds
from processors.notifier.alert_consumer import POLL_TIMEOUT_MS, AlertConsumer
from processors.notifier.delivery_log import DeliveryLog
from processors.notifier.delivery_record import DeliveryRecord
from processors.notifier.keep_alive import KeepAlive
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.notification_dead_letters import NotificationDeadLetters
from processors.notifier.partition_owners import FORMER_OWNER, PartitionOwners
from processors.notifier.receivers.base import Receiver, RecordPosition
from processors.notifier.sender import Sender
from processors.read_model.acknowledgements import turn_of
from schemas.alerts import Transition, decode_transition
from schemas.codec import UNREADABLE

logger = logging.getLogger(__name__)

COMMIT_INTERVAL_SECONDS = 1.0
KAFKA_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class NotifierDependencies:
    """What the tasks of all receivers share."""

    settings: Settings
    clock: Clock
    holds: ActiveHolds
    metrics: NotifierMetrics
    producer: AIOKafkaProducer


class DeliveryLoop:
    """Delivers alerts to one receiver."""

    def __init__(self, receiver: Receiver, shared: NotifierDependencies) -> None:
        kafka, notifier = shared.settings.kafka, shared.settings.notifier
        self._receiver = receiver
        self._shared = shared
        self._queue_limit = notifier.queue_limit
        self._log = DeliveryLog(kafka, notifier.log_topic, receiver.name, shared.producer)
        self._dead_letters = NotificationDeadLetters(shared.producer, notifier.dead_letters_topic, kafka.alerts_topic)
        max_pause_seconds = notifier.longest_pause_seconds
        self._sender = Sender(receiver, self._log, self._dead_letters, shared.metrics, max_pause_seconds)
        self._keep_alive = KeepAlive(receiver, self._sender.queue)
        self._consumer = AlertConsumer(kafka, f"{kafka.group}-notifier-{receiver.name}", self._finish_round)
        self._records: dict[str, DeliveryRecord] = {}
        """The delivery log by alert, until the end of the topic is reached."""
        self._owners = PartitionOwners()
        self._caught_up = False
        self._commit_at = 0.0
        self._round_lock = asyncio.Lock()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; Kafka may be away at any time."""
        await self._consumer.start()
        try:
            while not stop.is_set():
                try:
                    await self._round()
                except KafkaError as error:
                    logger.warning("%s: %s; reading everything again", self._receiver.name, first_line(error))
                    self._consumer.reassigned = True
                    await asyncio.sleep(KAFKA_PAUSE_SECONDS)
            await self._finish_round()
        finally:
            await self._consumer.stop()
            await self._receiver.close()

    async def _round(self) -> None:
        if self._consumer.reassigned:
            await self._restart()
        room = self._room()
        records = await self._consumer.poll(room, 0 if self._is_busy(room) else POLL_TIMEOUT_MS)
        async with self._round_lock:
            if self._consumer.reassigned:
                return
            for record in records:
                await self._add(record)
            if await self._may_send() and await self._consumer.is_owner():
                await self._send()
            self._update_metrics()

    def _is_busy(self, room: int) -> bool:
        """Whether there is something to send at once, so that reading must not wait."""
        sends = self._consumer.confirmed and (self._caught_up or room <= 0)
        return sends and (self._keep_alive.is_behind or bool(self._sender.next_batches()))

    def _room(self) -> int:
        return self._queue_limit - self._sender.queue.waiting

    async def _restart(self) -> None:
        """Forget everything, and learn it again from the log and the topic."""
        await self._consumer.rewind()
        contents = await self._log.read()
        if contents.unreadable:
            self._shared.metrics.unreadable.labels(self._receiver.name).inc(contents.unreadable)
        self._records = self._sender.restart(contents)
        self._owners = PartitionOwners()
        self._keep_alive = KeepAlive(self._receiver, self._sender.queue)
        self._caught_up = False

    async def _may_send(self) -> bool:
        """Whether the end of the topic is reached: what was resolved meanwhile is no news. But memory has its limit."""
        if self._caught_up and not self._records:
            return True
        if await self._consumer.is_caught_up():
            self._caught_up = True
            self._records.clear()
        return self._caught_up or self._room() <= 0

    # -- records in -------------------------------------------------------------------------------

    async def _add(self, record: ConsumerRecord) -> None:
        if record.value is None:
            self._owners.add(record)
            return
        try:
            transition = decode_transition(record.value)
        except UNREADABLE as error:
            await self._reject_malformed(record, error)
            return
        if not self._owners.accepts(record.partition, transition):
            self._shared.metrics.skipped.labels(self._receiver.name, FORMER_OWNER).inc()
            return
        self._add_transition(record, transition)

    def _add_transition(self, record: ConsumerRecord, transition: Transition) -> None:
        queue, logged = self._sender.queue, self._records.get(transition.alert_id)
        position = RecordPosition(record.partition, record.offset, record.timestamp)
        if self._consumer.is_delivered(record) or self._is_history(record.partition, transition):
            queue.add_delivered(transition, position, logged)
            return
        queue.add(transition, position, logged)
        if transition.state == "resolved":
            self._shared.holds.turn_ended(turn_of(transition))

    async def _reject_malformed(self, record: ConsumerRecord, error: Exception) -> None:
        if not self._consumer.is_delivered(record):
            logger.warning("%d@%d is no transition: %s", record.partition, record.offset, error)
            await self._dead_letters.add_malformed(self._receiver.name, record, str(error))

    def _is_history(self, partition: int, transition: Transition) -> bool:
        """Whether it is too old for a receiver that is new, which gets alerts from now on (S18)."""
        max_age_us = self._shared.settings.alerts.max_age_seconds * SECOND_US
        age_us = self._shared.clock.now_us() - transition.at_us
        return self._consumer.is_new(partition) and age_us > max_age_us

    # -- notifications out ------------------------------------------------------------------------

    async def _send(self) -> None:
        holds = self._shared.holds.current()
        if holds is not None:
            self._sender.queue.apply_holds(holds, self._shared.clock.now_us())
        await self._sender.send_due()
        if not await self._keep_alive.send_due():
            self._shared.metrics.notifications.labels(self._receiver.name, "failed").inc()
        if time.monotonic() >= self._commit_at:
            await self._commit()

    async def _commit(self) -> None:
        """Commit what is delivered, and delete the log entries of what has ended before."""
        queue = self._sender.queue
        committed = await self._consumer.commit(queue.first_waiting)
        await self._log.delete(queue.drain_ended(committed))
        self._commit_at = time.monotonic() + COMMIT_INTERVAL_SECONDS

    async def _finish_round(self) -> None:
        """Let the current round end, and commit it: the partitions are about to go."""
        async with self._round_lock:
            if self._caught_up and not self._consumer.reassigned:
                await self._sender.write_log()
                await self._commit()

    def _update_metrics(self) -> None:
        queue, metrics, name = self._sender.queue, self._shared.metrics, self._receiver.name
        metrics.queue.labels(name).set(queue.waiting)
        metrics.active.labels(name).set(queue.active)
        metrics.lag.labels(name).set(self._consumer.lag())
        for reason, count in queue.drain_skipped().items():
            metrics.skipped.labels(name, reason).inc(count)
