"""What the notifier says about itself before anything happened."""

from math import isnan

from prometheus_client import CollectorRegistry

from processors.notifier.metrics import NotifierMetrics


def test_before_it_was_asked_nothing_is_said_of_redis() -> None:
    registry = CollectorRegistry()
    NotifierMetrics(registry, ["slack"])

    assert isnan(registry.get_sample_value("salespulse_redis_up") or 0)
    assert registry.get_sample_value("salespulse_notifications_total", {"receiver": "slack", "result": "sent"}) == 0
