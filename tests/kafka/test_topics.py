"""Topics are created as they should be, left alone when they exist, and reported when they are wrong."""

import io
import os
import time
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient
from rich.console import Console

from config.settings import KafkaSettings, RetentionSettings, Settings
from processors.kafka.admin import admin_client
from processors.kafka.producer import producer
from processors.kafka.topic_reader import consumer
from processors.kafka.topics import (
    all_topics,
    create_missing,
    ensure_topics,
    examine,
    examine_new,
    problems,
    run_topics,
    wanted_topics,
)
from schemas.errors import Unavailable


def kafka_of(settings: Settings, **changes: object) -> Settings:
    """Settings with other ones of Kafka."""
    return msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, **changes))


def printed(settings: Settings, *, create: bool) -> tuple[int, str]:
    """Exit code and output of `salespulse topics`."""
    console = Console(file=io.StringIO(), width=200)
    code = run_topics(settings, console, create=create)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def make(admin: KafkaAdminClient, name: str, partitions: int, cleanup: str) -> None:
    """A topic that somebody else made."""
    options = {"num_partitions": partitions, "replication_factor": 1, "configs": {"cleanup.policy": cleanup}}
    admin.create_topics({name: options}, wait_for_metadata=True)


def test_every_topic_of_the_settings_is_wanted_once_with_its_policy() -> None:
    kafka = KafkaSettings(events_topics=("crm.a", "crm.b"), partitions=6, replication_factor=3)
    specs = {spec.name: spec for spec in wanted_topics(kafka, RetentionSettings())}
    assert list(specs) == [
        "crm.a",
        "crm.b",
        "salespulse-journal-changelog",
        "crm.reps",
        "crm.dead-letters",
        "crm.sla.alerts",
    ]
    assert [specs[name].partitions for name in ("crm.a", "crm.b", kafka.journal_topic)] == [6, 6, 6]
    assert specs["crm.reps"].cleanup == specs[kafka.journal_topic].cleanup == {"compact"}
    assert specs["crm.a"].cleanup == {"delete"}
    assert specs["crm.a"].configs["min.insync.replicas"] == "2"
    assert int(specs["crm.a"].configs["retention.ms"]) >= 400 * 86_400_000


def test_missing_topics_are_created_once_and_then_left_alone(settings: Settings) -> None:
    assert set(ensure_topics(settings)) == {spec.name for spec in all_topics(settings)}
    assert ensure_topics(settings) == []
    with admin_client(settings.kafka) as admin:
        findings = examine(admin, all_topics(settings))
    assert [finding.problem for finding in findings] == [None] * 8
    assert findings[0].state is not None
    assert findings[0].state.partitions == settings.kafka.partitions


class OfAnotherNode:
    """Two answers come from a node that does not know of new topics yet."""

    def __init__(self, admin: KafkaAdminClient) -> None:
        self._admin = admin
        self.asked = 0

    def list_topics(self) -> list[str]:
        self.asked += 1
        return list(self._admin.list_topics()) if self.asked > 2 else []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._admin, name)


def test_a_topic_that_was_created_just_now_is_awaited_on_every_node(settings: Settings) -> None:
    specs = all_topics(settings)
    with admin_client(settings.kafka) as admin:
        created = create_missing(admin, specs)
        slow: Any = OfAnotherNode(admin)
        assert problems(examine_new(slow, specs, created)) == []
        assert slow.asked == 3
        slow.asked = 0
        assert len(problems(examine_new(slow, specs, []))) == 1


def test_looking_does_not_create(settings: Settings) -> None:
    code, text = printed(settings, create=False)
    assert code == 1
    names = ", ".join(spec.name for spec in all_topics(settings))
    assert f"{names} are missing: run `salespulse topics`" in text
    with admin_client(settings.kafka) as admin:
        assert not set(admin.list_topics()) & {settings.kafka.reps_topic, *settings.kafka.events_topics}


def test_the_table_says_what_is_and_what_should_be(settings: Settings) -> None:
    code, text = printed(settings, create=True)
    assert code == 0
    assert text.count("created") == 8
    code, text = printed(settings, create=True)
    assert code == 0
    assert text.count(" ok ") == 8
    row = next(line for line in text.splitlines() if settings.kafka.alerts_topic in line)
    assert row.split()[:4] == [settings.kafka.alerts_topic, "1", "compact,delete", "ok"]
    _, text = printed(kafka_of(settings, partitions=6), create=False)
    row = next(line for line in text.splitlines() if settings.kafka.events_topics[0] in line)
    assert "4, not 6" in row
    assert "wrong" in row


def test_a_wrong_number_of_partitions_is_reported_with_its_mend(settings: Settings) -> None:
    ensure_topics(settings)
    code, text = printed(kafka_of(settings, partitions=6), create=True)
    assert code == 1
    events, journal = settings.kafka.events_topics[0], settings.kafka.journal_topic
    assert f"{events} has 4 partitions, kafka.partitions is 6: set kafka.partitions to what the topic has" in text
    assert f"{journal} has 4 partitions, kafka.partitions is 6: set kafka.group to another name" in text
    with pytest.raises(Unavailable, match=r"set kafka\.partitions to"):
        ensure_topics(kafka_of(settings, partitions=6))


def test_a_wrong_cleanup_policy_is_reported_with_its_mend(settings: Settings) -> None:
    with admin_client(settings.kafka) as admin:
        make(admin, settings.kafka.reps_topic, 1, "delete")
    code, text = printed(settings, create=True)
    assert code == 1
    assert "cleanup.policy delete, it must be compact" in text
    assert f"--entity-name {settings.kafka.reps_topic} --add-config cleanup.policy=[compact]" in text


def test_a_topic_that_somebody_else_creates_meanwhile_is_no_error(settings: Settings) -> None:
    specs = wanted_topics(settings.kafka, settings.retention)[:1]

    class Rival:
        """Lists no topic, as if the other one had been created right after."""

        def __init__(self, admin: KafkaAdminClient) -> None:
            self._admin = admin

        def list_topics(self) -> list[str]:
            """Nothing yet."""
            return []

        def __getattr__(self, name: str) -> object:
            return getattr(self._admin, name)

    with admin_client(settings.kafka) as admin:
        make(admin, specs[0].name, settings.kafka.partitions, "delete")
        assert create_missing(Rival(admin), specs) == []


def test_a_broker_that_refuses_a_topic_is_quoted_with_the_topic() -> None:
    class Refusing:
        """A broker with too few nodes for the copies."""

        def list_topics(self) -> list[str]:
            """None."""
            return []

        def create_topics(self, topics: dict[str, object], *, raise_errors: bool) -> dict[str, object]:
            """Refuse, as Apache Kafka does."""
            assert not raise_errors
            refusal = {"error_code": 38, "error_message": "Unable to replicate 3 times: only 1 broker is registered."}
            return {"topics": [{"name": name, **refusal} for name in topics]}

    specs = wanted_topics(KafkaSettings(replication_factor=3), RetentionSettings())
    with pytest.raises(Unavailable, match=r"^crm.events cannot be created: Unable to replicate 3 times: only 1 broker"):
        create_missing(Refusing(), specs)


def test_timestamps_of_events_are_bounded_by_retention_and_an_hour_ahead() -> None:
    specs = {spec.name: spec for spec in all_topics(Settings())}
    events, reps = specs["crm.events"], specs["crm.reps"]
    assert events.bounds == {
        "message.timestamp.after.max.ms": "3600000",
        "message.timestamp.before.max.ms": events.configs["retention.ms"],
    }
    # An entry of the directory is kept for ever, however old it is.
    assert reps.bounds == {"message.timestamp.after.max.ms": "3600000"}
    assert {name for name, spec in specs.items() if spec.bounds} == {"crm.events", "crm.reps"}


@pytest.mark.parametrize("code", [40, 42])
def test_a_broker_that_does_not_know_bounds_of_timestamps_gets_its_topics_all_the_same(code: int) -> None:
    class Older:
        """Refuses what it does not know, as Apache Kafka before 3.6."""

        def __init__(self) -> None:
            self.asked: list[dict[str, str]] = []

        def create_topics(self, topics: dict[str, dict[str, Any]], *, raise_errors: bool) -> dict[str, object]:
            """Refuse unknown configurations."""
            assert not raise_errors
            ((name, options),) = topics.items()
            self.asked.append(options["configs"])
            unknown = any(key.startswith("message.timestamp.") for key in options["configs"])
            refusal = {"error_code": code if unknown else 0, "error_message": "Unknown topic config name"}
            return {"topics": [{"name": name, **refusal}]}

        def list_topics(self) -> list[str]:
            """None."""
            return []

        def wait_for_topics(self, names: list[str], *, timeout_ms: int) -> None:
            """They are there at once."""
            assert names == ["crm.events"]
            assert timeout_ms > 0

    broker: Any = Older()
    specs = wanted_topics(KafkaSettings(), RetentionSettings())[:1]
    assert create_missing(broker, specs) == ["crm.events"]
    assert [len(configs) for configs in broker.asked] == [len(specs[0].configs) + 3, len(specs[0].configs) + 1]


@pytest.mark.skipif(
    os.environ.get("SALESPULSE_TEST_BROKER") != "kafka",
    reason="the embedded broker knows no bounds of timestamps: SALESPULSE_TEST_BROKER=kafka",
)
def test_a_record_stamped_far_from_now_is_refused_to_its_sender(settings: Settings) -> None:
    ensure_topics(settings)
    now_ms, day_ms = int(time.time() * 1000), 86_400_000
    name = settings.kafka.events_topics[0]
    for timestamp_ms in (now_ms + 2 * 3_600_000, now_ms - 500 * day_ms):
        with pytest.raises(Unavailable, match="InvalidTimestampError"), producer(settings.kafka) as sending:
            sending.send(name, key=b"c", value=b"v", timestamp_ms=timestamp_ms).get(timeout=30)
    with producer(settings.kafka) as sending:
        for timestamp_ms in (now_ms, now_ms - 300 * day_ms):
            assert sending.send(name, key=b"c", value=b"v", timestamp_ms=timestamp_ms).get(timeout=30).offset >= 0


def test_a_broker_that_is_not_there_is_named_by_its_address() -> None:
    kafka = KafkaSettings(bootstrap="127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"Kafka at 127.0.0.1:1 \(PLAINTEXT\): ") as caught, admin_client(kafka, 0.2):
        pass
    assert "kafka.bootstrap" in str(caught.value)


def test_a_record_far_too_large_for_an_event_is_taken(settings: Settings) -> None:
    ensure_topics(settings)
    size = 5 * 1024 * 1024
    name = settings.kafka.events_topics[0]
    with producer(settings.kafka, max_request_size=size * 2) as sending:
        sending.send(name, key=b"c", value=b"x" * size)
    with consumer(settings.kafka, consumer_timeout_ms=10_000, auto_offset_reset="earliest") as receiving:
        receiving.subscribe([name])
        assert len(next(receiving).value) == size
