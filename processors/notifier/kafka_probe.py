"""Whether Kafka answers the notifier. A consumer without a broker only finds nothing, so the broker is asked."""

import asyncio
from collections.abc import Callable

from aiokafka.client import AIOKafkaClient

INTERVAL_SECONDS = 5.0


async def watch_kafka(client: AIOKafkaClient, on_up: Callable[[float], object]) -> None:
    """Ask for the topics' leaders again and again, until cancelled. `on_up` gets 1 when any broker answers, else 0."""
    while True:
        on_up(await client.force_metadata_update())
        await asyncio.sleep(INTERVAL_SECONDS)
