"""Acknowledged and snoozed turns: what the board shows of them, and how people put them there.

They lie in Redis, which the board reads once a second, and are recorded on a topic before they take effect. Kafka is
asked only when somebody acknowledges: a board that only shows does without it.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaProducer

from config.settings import KafkaSettings
from processors.board.held import turn_key
from processors.board.store import Store
from processors.kafka.producer import running_producer
from processors.notifier.acks import AckEvent, Acks, Hold, TurnKey
from processors.notifier.kafka import AckTopic
from schemas.errors import Unavailable
from schemas.views import OpenRequest

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
REMIND_SECONDS = 60.0


class Desk:
    """Puts holds on turns, lets go of them, and keeps the store's picture of them. Raises what `Acks` raises."""

    def __init__(self, acks: Acks, store: Store) -> None:
        self.acks = acks
        self._store = store
        self._writes = 0
        self._warned_at = -REMIND_SECONDS

    async def acknowledge(self, one: OpenRequest, by: str) -> None:
        """Somebody takes care of a turn until it ends."""
        self._show(one, await self.acks.acknowledge(*turn_key(one), by))

    async def snooze(self, one: OpenRequest, by: str, until_us: int) -> None:
        """Nobody is to be told of a turn until an instant."""
        self._show(one, await self.acks.snooze(*turn_key(one), by, until_us))

    async def release(self, one: OpenRequest, by: str) -> None:
        """Let go of a turn."""
        await self.acks.release(*turn_key(one), by)
        self._show(one, None)

    async def run(self) -> None:
        """Read again and again, until cancelled. While Redis is away the picture stays."""
        while True:
            try:
                await self.refresh()
            except Unavailable as error:
                self._warn(str(error))
            await asyncio.sleep(INTERVAL_SECONDS)

    async def refresh(self) -> None:
        """Read what is there; what was read while somebody wrote is read again next time. Raises Unavailable."""
        before = self._writes
        known = await self.acks.all()
        if before == self._writes:
            self._replace(known)

    def _warn(self, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= REMIND_SECONDS:
            logger.warning("%s: acknowledgements and snoozes are shown as they were", why)
            self._warned_at = now

    def _show(self, one: OpenRequest, hold: Hold | None) -> None:
        self._writes += 1
        known = {key: each for key, each in self._store.held.known.items() if key != turn_key(one)}
        self._replace(known if hold is None else known | {turn_key(one): hold})

    def _replace(self, known: Mapping[TurnKey, Hold]) -> None:
        if known != self._store.held.known:
            self._store.held.known = known
            self._store.version += 1


class LazyAckTopic:
    """Records acknowledgements through a producer that is started by the first one."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._resources = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def record(self, key: bytes, event: AckEvent) -> None:
        """Return when the broker has it; raises Unavailable, also when the producer cannot start."""
        async with self._starting:
            if self._producer is None:
                self._producer = await self._resources.enter_async_context(running_producer(self._kafka))
        await AckTopic(self._producer, self._topic).record(key, event)

    async def close(self) -> None:
        """Stop the producer, if there is one."""
        await self._resources.aclose()
