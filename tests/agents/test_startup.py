"""Before a worker starts: topics that are missing or do not fit are reported in one line."""

import pytest

from config.settings import KafkaSettings
from processors.agents.startup import TopicsError, check_topics

KAFKA = KafkaSettings(bootstrap="broker:9092", events_topics=("crm.events", "erp.events"))
GOOD = {
    "crm.events": 4,
    "erp.events": 4,
    "salespulse-journal-changelog": 4,
    "crm.reps": 1,
    "crm.dead-letters": 1,
    "crm.sla.alerts": 1,
}


def test_topics_that_fit_give_the_number_of_partitions() -> None:
    assert check_topics(KAFKA, GOOD) == 4


@pytest.mark.parametrize("topic", sorted(GOOD))
def test_every_missing_topic_is_named_with_its_mend(topic: str) -> None:
    counts = {name: count for name, count in GOOD.items() if name != topic}

    with pytest.raises(TopicsError, match=rf"broker:9092 has no topic {topic}: `salespulse topics` creates"):
        check_topics(KAFKA, counts)


@pytest.mark.parametrize("topic", ["crm.events", "erp.events", "salespulse-journal-changelog"])
def test_topics_of_one_customer_must_have_equal_partitions(topic: str) -> None:
    with pytest.raises(TopicsError, match=rf"partitions differ .*{topic} 8"):
        check_topics(KAFKA, GOOD | {topic: 8})
