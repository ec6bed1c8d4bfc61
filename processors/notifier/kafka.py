"""The topic of acknowledgements."""

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from processors.kafka.connection import first_line
from processors.notifier.acks import AckEvent
from schemas.errors import Unavailable

Headers = tuple[tuple[str, bytes], ...]


class AckTopic:
    """Records acknowledgements on their topic, through a producer that somebody else starts and stops."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def record(self, key: bytes, event: AckEvent) -> None:
        """Return when the broker has it; raises Unavailable."""
        try:
            await self._producer.send_and_wait(self._topic, msgspec.json.encode(event), key)
        except KafkaError as error:
            raise Unavailable(
                f"topic {self._topic} takes no record: {first_line(error)}; nothing was changed"
            ) from error
