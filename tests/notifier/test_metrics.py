"""The notifier's metrics before anything happened."""

from math import isnan

from prometheus_client import CollectorRegistry

from processors.notifier.metrics import NotifierMetrics


def test_before_anything_happened_kafka_has_not_answered_and_redis_is_unknown() -> None:
    registry = CollectorRegistry()
    NotifierMetrics(registry, ["slack"])

    assert registry.get_sample_value("salespulse_kafka_up") == 0
    assert isnan(registry.get_sample_value("salespulse_redis_up") or 0)
    assert registry.get_sample_value("salespulse_notifications_total", {"receiver": "slack", "result": "sent"}) == 0
