"""Makes both Kafka clients read our RecordSet instead of their own, so that there is one way to read a batch.

Hooks into the pinned aiokafka and kafka-python below their public API; `tests/contract` guards them.
"""

from functools import partial
from typing import Any

from aiokafka.consumer import fetcher as aiokafka_fetcher
from kafka.consumer import fetcher as kafka_fetcher

from processors.kafka.record_set import RecordSet
from processors.kafka.skipped_batches import SKIPPED


class AsyncPartitionRecords(aiokafka_fetcher.PartitionRecords):  # type: ignore[misc]
    """The records that aiokafka fetched of a partition."""

    def __init__(self, tp: Any, records: RecordSet, aborted: Any, fetch_offset: int, *options: Any) -> None:
        records.position = fetch_offset
        records.report = partial(SKIPPED.add, tp.topic, tp.partition)
        super().__init__(tp, records, aborted, fetch_offset, *options)


class PartitionRecords(kafka_fetcher.Fetcher.PartitionRecords):  # type: ignore[misc]
    """The records that kafka-python fetched of a partition."""

    def __init__(self, fetch_offset: int, tp: Any, records: RecordSet, **options: Any) -> None:
        records.position = fetch_offset
        records.report = partial(SKIPPED.add, tp.topic, tp.partition)
        records.native = False
        super().__init__(fetch_offset, tp, records, **options)


def install_safe_readers(max_batch_bytes: int) -> None:
    """From here on, no client of this process decompresses a larger batch, or stops at an unreadable one."""
    RecordSet.ceiling = max_batch_bytes
    aiokafka_fetcher.MemoryRecords = RecordSet
    aiokafka_fetcher.PartitionRecords = AsyncPartitionRecords
    kafka_fetcher.MemoryRecords = RecordSet
    kafka_fetcher.Fetcher.PartitionRecords = PartitionRecords
