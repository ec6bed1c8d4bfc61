"""Dead letters of the notifier: what a receiver rejected for good, and records that are no transitions."""

import msgspec
from aiokafka import AIOKafkaProducer, ConsumerRecord

from processors.notifier.receivers.base import Notification

MAX_VALUE_BYTES = 512 * 1024
"""A longer value is cut, so that the dead letter fits into a message."""
MAX_KEY_BYTES = 64 * 1024
MAX_DETAIL_CHARACTERS = 1000


class NotificationDeadLetters:
    """Writes dead letters, with the reason in their headers."""

    def __init__(self, producer: AIOKafkaProducer, topic: str, source: str) -> None:
        """`source`: the topic that the transitions come from."""
        self._producer = producer
        self._topic = topic
        self._source = source

    async def add_rejected(self, receiver: str, notification: Notification, detail: str) -> None:
        """A notification that a receiver rejected; returns when the broker has it, raises KafkaError."""
        key, value = notification.transition.alert_id.encode(), msgspec.json.encode(notification.transition)
        position = notification.position
        origin = ("", "") if position is None else (str(position.partition), str(position.offset))
        await self._send(key, value, (receiver, "rejected", detail[:MAX_DETAIL_CHARACTERS], *origin))

    async def add_malformed(self, receiver: str, record: ConsumerRecord, detail: str) -> None:
        """A record that is no transition; returns when the broker has it, raises KafkaError."""
        origin = (str(record.partition), str(record.offset))
        key, value = (record.key or b"")[:MAX_KEY_BYTES], (record.value or b"")[:MAX_VALUE_BYTES]
        await self._send(key, value, (receiver, "malformed", detail[:MAX_DETAIL_CHARACTERS], *origin))

    async def _send(self, key: bytes | None, value: bytes | None, texts: tuple[str, ...]) -> None:
        receiver, reason, detail, partition, offset = (text.encode("utf-8", "replace") for text in texts)
        headers = [
            ("receiver", receiver),
            ("reason", reason),
            ("detail", detail),
            ("topic", self._source.encode()),
            ("partition", partition),
            ("offset", offset),
        ]
        await self._producer.send_and_wait(self._topic, value, key, headers=headers)
