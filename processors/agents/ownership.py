"""What an owner checks before it acts: whether its lease holds, and which logs it reads."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from aiokafka.errors import KafkaError

from config.settings import KafkaSettings
from processors.agents.lease import Lease
from processors.kafka.connection import first_line
from processors.kafka.topic_identity import topic_ids

logger = logging.getLogger(__name__)

NO_LOG_IDS = ""
"""The identity of logs if the broker has no topic ids."""


class SourceLogs(Protocol):
    """The source topics and the changelog, as they are on the broker now."""

    async def identity(self) -> str | None:
        """The ids of the topics; empty if the broker has no ids, None if it does not answer."""

    async def end(self, number: int) -> int | None:
        """The number of source offsets of a partition, over all events topics; None if the broker does not answer."""


class Ownership(NamedTuple):
    """The two things to check."""

    lease: Lease
    logs: SourceLogs

    async def was_recreated(self, number: int, offset: int, logs: str) -> bool:
        """Whether the log that was published up to an offset is gone.

        It is if the broker names an end before that offset, and other ids. Without ids, the end alone decides.
        """
        present = await self.logs.identity()
        end = await self.logs.end(number)
        if present is None or end is None or end >= offset:
            return False
        return NO_LOG_IDS in (present, logs) or present != logs


@dataclass(frozen=True)
class BrokerLogs:
    """The logs of a real broker."""

    kafka: KafkaSettings
    ends: Callable[[int], Awaitable[int]]
    """The number of source offsets of a partition; raises KafkaError, OSError."""

    async def identity(self) -> str | None:
        """See Logs."""
        topics = (*self.kafka.events_topics, self.kafka.journal_topic)
        try:
            ids = await topic_ids(self.kafka, topics)
        except (KafkaError, OSError) as error:
            logger.warning("%s does not say which topics it has: %s", self.kafka.bootstrap, first_line(error))
            return None
        found = [ids.get(topic) for topic in topics]
        return NO_LOG_IDS if None in found else ",".join(filter(None, found))

    async def end(self, number: int) -> int | None:
        """See Logs."""
        try:
            return await self.ends(number)
        except (KafkaError, OSError) as error:
            logger.warning(
                "%s does not say where partition %d ends: %s", self.kafka.bootstrap, number, first_line(error)
            )
            return None
