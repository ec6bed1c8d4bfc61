"""The offsets that readers of a notifier or a board had to skip, as a metric."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from processors.kafka.skipped_batches import SkippedBatches


class SkippedRecords(Collector):
    """`salespulse_unreadable_records_total` for topics that other programs than workers read."""

    def __init__(self, registry: CollectorRegistry, topics: Iterable[str], skipped: SkippedBatches) -> None:
        """`topics`: their series exist from the beginning, so that Prometheus sees an increase from 0."""
        self._none = dict.fromkeys(topics, 0)
        self._skipped = skipped
        registry.register(self)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The family, made at each scrape."""
        family = CounterMetricFamily(
            "salespulse_unreadable_records", "Offsets in batches that could not be read.", labels=["topic"]
        )
        for topic, count in sorted((self._none | self._skipped.offsets.copy()).items()):
            family.add_metric([topic], count)
        yield family
