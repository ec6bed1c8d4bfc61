"""The producer for what an owner sends to other topics: dead letters, alerts, takeovers."""

import asyncio

from aiokafka import AIOKafkaProducer

from config.settings import KafkaSettings
from processors.agents.lease import SEND_SHARE
from processors.kafka.connection import async_options

MAX_BATCH_BYTES = 900_000
"""The most that is sent to a partition in one batch."""


class LeasedProducer:
    """A producer that gives up a record before another worker can hold the lease."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._lock = asyncio.Lock()
        self._producer: AIOKafkaProducer | None = None

    async def started(self) -> AIOKafkaProducer:
        """The producer, started at its first use; raises KafkaError."""
        async with self._lock:
            if self._producer is None:
                seconds = self._kafka.session_timeout_seconds * SEND_SHARE
                producer = AIOKafkaProducer(
                    **async_options(self._kafka),
                    acks="all",
                    max_batch_size=MAX_BATCH_BYTES,
                    request_timeout_ms=round(seconds * 1000),
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    async def stop(self) -> None:
        """Close its connections."""
        async with self._lock:
            producer, self._producer = self._producer, None
            if producer is not None:
                await producer.stop()
