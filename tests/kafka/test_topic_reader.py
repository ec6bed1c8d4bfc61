"""Topics that are only read are never created by that."""

import pytest

from config.settings import Settings
from processors.kafka.admin import admin_client
from processors.kafka.topic_reader import read_topics
from schemas.errors import UsageError


def test_a_topic_that_is_missing_is_named_and_not_created_by_reading(settings: Settings) -> None:
    topic = settings.kafka.dead_letters_topic
    with pytest.raises(UsageError, match=f"topic '{topic}' does not exist: create it with `salespulse topics`"):
        list(read_topics(settings.kafka, (topic,)))
    with admin_client(settings.kafka) as admin:
        assert topic not in admin.list_topics()
