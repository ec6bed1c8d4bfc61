"""Topics of a test's own: names under a prefix, so that tests can share a broker."""

from config.notifier_settings import NotifierSettings
from config.settings import KafkaSettings


def kafka_under(prefix: str, broker: str, session_timeout_seconds: float = 6.0) -> KafkaSettings:
    """Settings of Kafka with topics and a consumer group of this prefix."""
    return KafkaSettings(
        bootstrap=broker,
        events_topics=(f"{prefix}.events",),
        reps_topic=f"{prefix}.reps",
        dead_letters_topic=f"{prefix}.dead-letters",
        alerts_topic=f"{prefix}.sla.alerts",
        group=prefix,
        session_timeout_seconds=session_timeout_seconds,
    )


def notifier_under(prefix: str) -> NotifierSettings:
    """Settings of the notifier with topics of this prefix."""
    return NotifierSettings(
        log_topic=f"{prefix}.notifications",
        acks_topic=f"{prefix}.sla.acks",
        dead_letters_topic=f"{prefix}.notifications.dead-letters",
    )
