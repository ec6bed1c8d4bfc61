"""A topic on which every record is durable before its writer goes on, such as that of acknowledgements."""

import asyncio
from contextlib import AsyncExitStack

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from processors.kafka.connection import first_line
from processors.kafka.producer import running_producer
from schemas.errors import Unavailable


class RecordedTopic:
    """Writes to the topic through a producer that the caller starts and stops."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def record(self, key: bytes, value: bytes) -> None:
        """Return when the broker has it; raises Unavailable."""
        try:
            await self._producer.send_and_wait(self._topic, value, key)
        except KafkaError as error:
            raise Unavailable(
                f"topic {self._topic} takes no record: {first_line(error)}; nothing was changed"
            ) from error


class LazyRecordedTopic:
    """The same with a producer of its own, which the first record starts: most processes never need it."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self._resources = AsyncExitStack()
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def record(self, key: bytes, value: bytes) -> None:
        """Return when the broker has it; raises Unavailable, also when the producer cannot start."""
        async with self._starting:
            if self._producer is None:
                self._producer = await self._resources.enter_async_context(running_producer(self._kafka))
        await RecordedTopic(self._producer, self._topic).record(key, value)

    async def close(self) -> None:
        """Stop the producer, if it was started."""
        await self._resources.aclose()
