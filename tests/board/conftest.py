"""What tests of a board with Kafka share."""

import pytest
from kafka import KafkaAdminClient

from config.settings import Settings
from processors.kafka.topics import all_topics, create_missing


@pytest.fixture
def topics(settings: Settings) -> Settings:
    """Settings whose topics exist."""
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    create_missing(admin, all_topics(settings))
    admin.close()
    return settings
