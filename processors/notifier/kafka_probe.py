"""Whether Kafka answers the notifier. It is asked every few seconds: a consumer without a broker just finds nothing."""

import asyncio
from collections.abc import Callable

from aiokafka.client import AIOKafkaClient

INTERVAL_SECONDS = 5.0


async def watch_kafka(client: AIOKafkaClient, on_up: Callable[[float], object]) -> None:
    """Ask for the topics' leaders again and again, until cancelled. `on_up`: told 1 when any broker answers, else 0."""
    while True:
        on_up(await client.force_metadata_update())
        await asyncio.sleep(INTERVAL_SECONDS)
