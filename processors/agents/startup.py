"""Before a worker starts, the broker must answer and the topics must fit together."""

import asyncio
import logging
import time
from collections.abc import Mapping

from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from processors.kafka.admin import partition_counts
from processors.kafka.connection import first_line
from schemas.errors import SalespulseError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
REMINDER_SECONDS = 15.0


class TopicsError(SalespulseError):
    """A topic is missing, or topics do not fit together."""


async def wait_for_topics(kafka: KafkaSettings) -> int:
    """Wait for the broker; returns the number of source partitions. Raises TopicsError."""
    reminded_at = -REMINDER_SECONDS
    while True:
        try:
            return check_topics(kafka, await partition_counts(kafka))
        except (KafkaError, OSError) as error:
            if time.monotonic() - reminded_at >= REMINDER_SECONDS:
                logger.warning("%s does not answer (%s): trying again every second", kafka.bootstrap, first_line(error))
                reminded_at = time.monotonic()
        await asyncio.sleep(RETRY_SECONDS)


def check_topics(kafka: KafkaSettings, counts: Mapping[str, int]) -> int:
    """The number of source partitions. `counts`: topic to its number of partitions. Raises TopicsError."""
    journal = kafka.journal_topic
    needed = [*kafka.events_topics, kafka.reps_topic, kafka.dead_letters_topic, kafka.alerts_topic, journal]
    missing = [topic for topic in needed if topic not in counts]
    if missing:
        raise TopicsError(f"{kafka.bootstrap} has no topic {', '.join(missing)}: `salespulse topics` creates them")
    together = {topic: counts[topic] for topic in (*kafka.events_topics, journal)}
    if len(set(together.values())) > 1:
        shown = ", ".join(f"{topic} {count}" for topic, count in together.items())
        raise TopicsError(
            f"partitions differ ({shown}), but a customer must have one and the same partition in all of them: "
            "if events are in them, stop all producers and run `salespulse topics --grow N` with the number to have; "
            "else delete the topics, set kafka.partitions and run `salespulse topics`"
        )
    return together[journal]
