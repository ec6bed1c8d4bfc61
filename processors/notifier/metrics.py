"""The notifier's own metrics."""

import math
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from processors.notifier.partition_owners import FORMER_OWNER

DELAY_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
RESULTS = ("sent", "failed", "rejected")
SKIPPED = ("duplicate", "superseded", "unwanted", "held", FORMER_OWNER)


class NotifierMetrics:
    """The instruments of one notifier. Counters start at 0 with the process."""

    def __init__(self, registry: CollectorRegistry, receivers: Iterable[str]) -> None:
        """All series exist from the start, so that an increase from 0 is visible."""
        self._count(registry)
        self._measure(registry)
        for receiver in receivers:
            for result in RESULTS:
                self.notifications.labels(receiver, result)
            for reason in SKIPPED:
                self.skipped.labels(receiver, reason)
            for counter in (self.unreadable, self.restarts):
                counter.labels(receiver)
            for gauge in (self.queue, self.lag, self.active):
                gauge.labels(receiver)
            self.delay_seconds.labels(receiver)

    def _count(self, registry: CollectorRegistry) -> None:
        self.notifications = Counter(
            "salespulse_notifications",
            "Notifications by receiver and result: sent, failed (tried again) or rejected (dead letters).",
            ["receiver", "result"],
            registry=registry,
        )
        self.skipped = Counter(
            "salespulse_notifications_skipped",
            "Transitions that were not sent, by reason.",
            ["receiver", "reason"],
            registry=registry,
        )

        self.unreadable = Counter(
            "salespulse_notifier_unreadable_records",
            "Records of the delivery log that no notifier wrote: they are skipped.",
            ["receiver"],
            registry=registry,
        )
        self.restarts = Counter(
            "salespulse_notifier_restarts",
            "How often a receiver's task failed unexpectedly and was restarted.",
            ["receiver"],
            registry=registry,
        )

    def _measure(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, ["receiver"], registry=registry)

        self.queue = gauge("salespulse_notifier_queue", "Transitions that were read and are not delivered yet.")
        self.lag = gauge(
            "salespulse_notifier_lag_records", "Records of the topic that are not committed for the receiver."
        )
        self.active = gauge("salespulse_notifier_active_alerts", "Alerts that are active now.")
        self.delay_seconds = Histogram(
            "salespulse_notification_delay_seconds",
            "From the record of a transition on its topic to its receiver.",
            ["receiver"],
            buckets=DELAY_BUCKETS,
            registry=registry,
        )
        self.redis_up = Gauge(
            "salespulse_redis_up", "Whether Redis answered last. NaN: it was not asked yet.", registry=registry
        )
        self.redis_up.set(math.nan)
        self.kafka_up = Gauge("salespulse_kafka_up", "Whether Kafka answered last.", registry=registry)
