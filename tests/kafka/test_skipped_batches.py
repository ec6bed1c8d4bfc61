"""Batches that readers passed over are counted by topic, each once."""

from prometheus_client import CollectorRegistry

from processors.kafka.record_frames import UnreadableRange
from processors.kafka.skipped_batches import SkippedBatches
from processors.kafka.skipped_metric import SkippedRecords


def test_offsets_are_counted_once_and_topics_without_any_are_there_from_the_beginning() -> None:
    registry, skipped = CollectorRegistry(), SkippedBatches()
    SkippedRecords(registry, ["alerts", "log"], skipped)

    def value(topic: str) -> float | None:
        return registry.get_sample_value("salespulse_unreadable_records_total", {"topic": topic})

    assert (value("alerts"), value("log"), value("others")) == (0, 0, None)
    for unreadable in (
        UnreadableRange(3, 5, "its checksum is wrong", b""),
        UnreadableRange(3, 5, "its checksum is wrong", b""),
    ):
        skipped.add("alerts", 0, unreadable)
    skipped.add("others", 1, UnreadableRange(0, 0, "cut", b""))
    assert (value("alerts"), value("log"), value("others")) == (3, 0, 1)
