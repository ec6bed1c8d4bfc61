"""Which log is behind a topic's name: the id that the broker gave it, and its number of partitions.

A topic that was deleted and created again has its old name and another id, and its offsets begin anew. Brokers have ids
since Kafka 2.8 (Metadata v10). The embedded broker may have none, and then only the ends of partitions show it.
"""

import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from config.settings import KafkaSettings
from processors.kafka.connection import REQUEST_TIMEOUT_MS, async_options

UNKNOWN_ID = uuid.UUID(int=0)
"""The answer of a broker without topic ids."""


class TopicDescription(NamedTuple):
    """A topic as the broker describes it."""

    topic_id: str | None
    """As Kafka's own tools print it; None: the broker has no topic ids."""
    partitions: int


async def describe_topics(kafka: KafkaSettings, topics: Iterable[str]) -> dict[str, TopicDescription]:
    """Each topic that exists, without creating any; raises KafkaError, OSError if the broker does not answer."""
    client = AIOKafkaClient(**async_options(kafka), request_timeout_ms=REQUEST_TIMEOUT_MS)
    try:
        await client.bootstrap()
        node = client.get_random_node()
        if node is None:
            raise KafkaConnectionError(f"{kafka.bootstrap} names no node")
        try:
            answer = await client.send(node, _MetadataRequest(list(topics)))
        except NotImplementedError:
            return await _describe_without_ids(client, topics)
    finally:
        await client.close()
    return dict(_described(topic) for topic in answer.topics if _exists(topic))


async def topic_ids(kafka: KafkaSettings, topics: Iterable[str]) -> dict[str, str | None]:
    """The id of each topic that exists; None if the broker has no ids. Raises KafkaError, OSError."""
    return {topic: found.topic_id for topic, found in (await describe_topics(kafka, topics)).items()}


async def _describe_without_ids(client: AIOKafkaClient, topics: Iterable[str]) -> dict[str, TopicDescription]:
    """Ask for all topics, because an older broker may create one that it is asked for."""
    cluster = await client.fetch_all_metadata()
    present = cluster.topics() & set(topics)
    return {topic: TopicDescription(None, len(cluster.partitions_for_topic(topic) or ())) for topic in present}


def _exists(topic: Any) -> bool:
    """Whether a topic exists; raises KafkaError if the broker does not know."""
    code = topic[0]
    if code == UnknownTopicOrPartitionError.errno:
        return False
    if code:
        error: type[KafkaError] = for_code(code)
        raise error(f"topic {topic[1]}")
    return True


def _described(topic: Any) -> tuple[str, TopicDescription]:
    _, name, topic_id, _, partitions, *_ = topic
    shown = None if topic_id == UNKNOWN_ID else urlsafe_b64encode(topic_id.bytes).rstrip(b"=").decode()
    return name, TopicDescription(shown, len(partitions))


class _Uuid(AbstractType[uuid.UUID]):
    """A UUID on the wire: 16 bytes."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: Any) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class _MetadataResponse(Response):
    """Version 12: the first in which a topic may be asked for by its name or its id."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):
    """Asks for topics by their names, and creates none."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestStruct]) -> _MetadataRequestStruct:
        untagged: dict[int, bytes] = {}
        topics = [(UNKNOWN_ID, topic, untagged) for topic in self._topics]
        creates = asks_operations = False
        return request_struct_class(topics, creates, asks_operations, untagged)
