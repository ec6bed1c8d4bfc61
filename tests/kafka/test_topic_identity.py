"""What the broker says of topics: ids where it gives them, and how many partitions."""

import asyncio
import os

from config.settings import KafkaSettings
from processors.kafka.admin import admin_client
from processors.kafka.topic_identity import describe_topics, topic_ids


def make_topic(broker: str, name: str, partitions: int) -> None:
    with admin_client(KafkaSettings(bootstrap=broker)) as admin:
        admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1}})
        admin.wait_for_topics([name])


def test_a_topic_is_described_and_a_missing_one_is_not_created(broker: str, topic_prefix: str) -> None:
    kafka, name = KafkaSettings(bootstrap=broker), f"{topic_prefix}.x"
    make_topic(broker, name, 3)
    for _ in range(2):
        found = asyncio.run(describe_topics(kafka, [name, f"{topic_prefix}.missing"]))
        assert list(found) == [name]
        assert found[name].partitions == 3


def test_a_topic_made_anew_has_another_id_where_there_are_ids(broker: str, topic_prefix: str) -> None:
    kafka, name = KafkaSettings(bootstrap=broker), f"{topic_prefix}.x"
    make_topic(broker, name, 1)
    before = asyncio.run(topic_ids(kafka, [name]))[name]
    assert asyncio.run(topic_ids(kafka, [name]))[name] == before
    with admin_client(kafka) as admin:
        admin.delete_topics([name])
    make_topic(broker, name, 1)
    after = asyncio.run(topic_ids(kafka, [name]))[name]
    gives_ids = os.environ.get("SALESPULSE_TEST_BROKER") == "kafka"
    assert after != before or (after is None and not gives_ids)
