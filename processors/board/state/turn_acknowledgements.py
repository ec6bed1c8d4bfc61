"""Acknowledged and snoozed turns: the board's copy of them, and how people set and release them.

They are kept in Redis, which the board reads once a second, and are recorded on a Kafka topic before they take effect.
The producer starts with the first acknowledgement: a board that only displays needs no Kafka.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaProducer

from config.settings import KafkaSettings
from processors.board.state.store import Store
from processors.notifier.acks import AckEvent, Acks, Hold, TurnKey
from processors.notifier.kafka import AckTopic, running_producer
from schemas.errors import Unavailable
from schemas.views import OpenRequest

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0
WARNING_INTERVAL_SECONDS = 60.0


class Acknowledgements:
    """Sets and releases holds, and keeps a copy of those in Redis. Raises what `Acks` raises."""

    def __init__(self, acks: Acks, store: Store) -> None:
        """`store`: its version rises with every change of a hold."""
        self.acks = acks
        self.known: Mapping[TurnKey, Hold] = {}
        """The holds as last read from Redis."""
        self._store = store
        self._writes = 0
        self._warned_at = -WARNING_INTERVAL_SECONDS

    def hold_of(self, request: OpenRequest) -> Hold | None:
        """The hold in force on the request's present turn, if any; a snooze that has ended is not in force."""
        hold = self.known.get(_turn_key(request))
        return hold if hold is not None and hold.lasts(self._store.now_us()) else None

    async def acknowledge(self, request: OpenRequest, by: str) -> None:
        """Hold the turn until it ends."""
        self._remember(request, await self.acks.acknowledge(*_turn_key(request), by))

    async def snooze(self, request: OpenRequest, by: str, until_us: int) -> None:
        """Silence the turn until an instant."""
        self._remember(request, await self.acks.snooze(*_turn_key(request), by, until_us))

    async def release(self, request: OpenRequest, by: str) -> None:
        """Release the turn."""
        await self.acks.release(*_turn_key(request), by)
        self._remember(request, None)

    async def run(self) -> None:
        """Poll Redis until cancelled. While Redis is away the copy stays as it is."""
        while True:
            try:
                await self.refresh()
            except Unavailable as error:
                self._warn(str(error))
            await asyncio.sleep(POLL_SECONDS)

    async def refresh(self) -> None:
        """Read the holds once. Raises Unavailable."""
        before = self._writes
        known = await self.acks.all()
        # A write during the read may be missing from it: keep the copy, the next poll reads both.
        if before == self._writes:
            self._replace(known)

    def _warn(self, why: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= WARNING_INTERVAL_SECONDS:
            logger.warning("%s: acknowledgements and snoozes are shown as last read", why)
            self._warned_at = now

    def _remember(self, request: OpenRequest, hold: Hold | None) -> None:
        self._writes += 1
        known = {key: each for key, each in self.known.items() if key != _turn_key(request)}
        self._replace(known if hold is None else known | {_turn_key(request): hold})

    def _replace(self, known: Mapping[TurnKey, Hold]) -> None:
        if known != self.known:
            self.known = known
            self._store.version += 1


def _turn_key(request: OpenRequest) -> TurnKey:
    return TurnKey(request.customer_id, request.request_id, request.turn)


class LazyAckTopic:
    """Records acknowledgements through a producer that the first one starts."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._resources = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def record(self, key: bytes, event: AckEvent) -> None:
        """Return once the broker has stored it. Raises Unavailable, also when the producer cannot start."""
        async with self._starting:
            if self._producer is None:
                self._producer = await self._resources.enter_async_context(running_producer(self._kafka))
        await AckTopic(self._producer, self._topic).record(key, event)

    async def close(self) -> None:
        """Stop the producer, if it was started."""
        await self._resources.aclose()
