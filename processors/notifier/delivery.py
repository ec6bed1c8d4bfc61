"""One receiver's task: read, tell, record, commit, in rounds, so that a crash repeats one round at most."""

import asyncio
import logging
import time
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.errors import KafkaError

from config.clock import Clock
from config.settings import Settings
from processors.core.instants import SECOND_US
from processors.kafka.connection import first_line
from processors.notifier.acks import turn_of
from processors.notifier.feed import POLL_MS, Feed
from processors.notifier.holds import Holds
from processors.notifier.metrics import NotifierMetrics
from processors.notifier.mirror import Mirror
from processors.notifier.notices import Place, Word
from processors.notifier.owners import FORMER, Owners
from processors.notifier.receiver import Receiver
from processors.notifier.teller import Teller
from processors.notifier.told import DeadLetters, ToldLog
from schemas.alerts import Transition, decode_transition
from schemas.codec import UNREADABLE

logger = logging.getLogger(__name__)

COMMIT_SECONDS = 1.0
KAFKA_PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Given:
    """What the tasks of all receivers share."""

    settings: Settings
    clock: Clock
    holds: Holds
    metrics: NotifierMetrics
    producer: AIOKafkaProducer


class Delivery:
    """Tells one receiver."""

    def __init__(self, receiver: Receiver, given: Given) -> None:
        kafka, notifier = given.settings.kafka, given.settings.notifier
        self._receiver = receiver
        self._given = given
        self._queue_limit = notifier.queue_limit
        self._log = ToldLog(kafka, notifier.log_topic, receiver.name, given.producer)
        self._dead_letters = DeadLetters(given.producer, notifier.dead_letters_topic, kafka.alerts_topic)
        pause = notifier.longest_pause_seconds
        self._teller = Teller(receiver, self._log, self._dead_letters, given.metrics, pause)
        self._mirror = Mirror(receiver, self._teller.book)
        self._feed = Feed(kafka, f"{kafka.group}-notifier-{receiver.name}", self._let_go)
        self._words: dict[str, Word] = {}
        self._owners = Owners()
        self._present = False
        self._commit_at = 0.0
        self._round_lock = asyncio.Lock()

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until told to stop; Kafka may be away at any time."""
        await self._feed.start()
        try:
            while not stop.is_set():
                try:
                    await self._round()
                except KafkaError as error:
                    logger.warning("%s: %s; reading everything again", self._receiver.name, first_line(error))
                    self._feed.reassigned = True
                    await asyncio.sleep(KAFKA_PAUSE_SECONDS)
            await self._let_go()
        finally:
            await self._feed.stop()
            await self._receiver.close()

    async def _round(self) -> None:
        if self._feed.reassigned:
            await self._begin()
        room = self._room()
        records = await self._feed.poll(room, 0 if self._is_busy(room) else POLL_MS)
        async with self._round_lock:
            if self._feed.reassigned:
                return
            for record in records:
                await self._take(record)
            if await self._is_present() and await self._feed.is_owner():
                await self._tell()
            self._show()

    def _is_busy(self, room: int) -> bool:
        """Whether there is something to tell at once, so that reading must not wait."""
        tells = self._feed.confirmed and (self._present or room <= 0)
        return tells and (self._mirror.is_behind or bool(self._teller.chosen()))

    def _room(self) -> int:
        return self._queue_limit - self._teller.book.waiting

    async def _begin(self) -> None:
        """Forget everything, and learn it again from the log and the topic."""
        await self._feed.rewind()
        memory = await self._log.read()
        if memory.unreadable:
            self._given.metrics.unreadable.labels(self._receiver.name).inc(memory.unreadable)
        self._words = self._teller.begin_again(memory)
        self._owners = Owners()
        self._mirror = Mirror(self._receiver, self._teller.book)
        self._present = False

    async def _is_present(self) -> bool:
        """Nothing is told before all is known: what was resolved meanwhile is no news. But memory has its limit."""
        if self._present and not self._words:
            return True
        if await self._feed.at_present():
            self._present = True
            self._words.clear()
        return self._present or self._room() <= 0

    # -- in ---------------------------------------------------------------------------------------

    async def _take(self, record: ConsumerRecord) -> None:
        if record.value is None:
            self._owners.learn(record)
            return
        try:
            transition = decode_transition(record.value)
        except UNREADABLE as error:
            await self._refuse(record, error)
            return
        if not self._owners.hears(record.partition, transition):
            self._given.metrics.skipped.labels(self._receiver.name, FORMER).inc()
            return
        word = self._words.get(transition.alert_id)
        place = Place(record.partition, record.offset, record.timestamp)
        if self._feed.is_done(record) or self._is_history(record.partition, transition):
            self._teller.book.recall(transition, place, word)
            return
        self._teller.book.take(transition, place, word)
        if transition.state == "resolved":
            self._given.holds.turn_ended(turn_of(transition))

    async def _refuse(self, record: ConsumerRecord, error: Exception) -> None:
        if not self._feed.is_done(record):
            logger.warning("%d@%d is no transition: %s", record.partition, record.offset, error)
            await self._dead_letters.malformed(self._receiver.name, record, str(error))

    def _is_history(self, partition: int, transition: Transition) -> bool:
        """A receiver that is new is told from now on (S18)."""
        max_age_us = self._given.settings.alerts.max_age_seconds * SECOND_US
        return self._feed.is_new(partition) and self._given.clock.now_us() - transition.at_us > max_age_us

    # -- out --------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        holds = self._given.holds.now()
        if holds is not None:
            self._teller.book.hold(holds, self._given.clock.now_us())
        await self._teller.tell()
        if not await self._mirror.keep_alive():
            self._given.metrics.notifications.labels(self._receiver.name, "failed").inc()
        if time.monotonic() >= self._commit_at:
            await self._commit()

    async def _commit(self) -> None:
        """Commit what is done, and forget the words on what has ended."""
        book = self._teller.book
        committed = await self._feed.commit(book.first_waiting)
        await self._log.forget(book.over(committed))
        self._commit_at = time.monotonic() + COMMIT_SECONDS

    async def _let_go(self) -> None:
        """Let the round that is under way end, and commit it."""
        async with self._round_lock:
            if self._present and not self._feed.reassigned:
                await self._teller.record()
                await self._commit()

    def _show(self) -> None:
        book, metrics, name = self._teller.book, self._given.metrics, self._receiver.name
        metrics.queue.labels(name).set(book.waiting)
        metrics.active.labels(name).set(book.active)
        metrics.lag.labels(name).set(self._feed.lag())
        for reason, count in book.skipped.items():
            metrics.skipped.labels(name, reason).inc(count)
        book.skipped.clear()
