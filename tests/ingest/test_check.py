"""`salespulse check` looks at everything, and says for what is wrong how to mend it."""

import io

import msgspec
from rich.console import Console

from config.settings import KafkaSettings, Settings
from processors.ingest.check import Check, kafka_checks, run_checks
from processors.ingest.topics import ensure_topics
from schemas.errors import ConfigError


def outcome(*checks: Check) -> tuple[int, list[str]]:
    """Exit code and lines of output."""
    console = Console(file=io.StringIO(), width=80)
    code = run_checks(checks, console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue().splitlines()


def broken() -> str:
    """A probe of something broken."""
    raise ConfigError("policy.toml: levels[0] = 3: allowed is a table [[levels]]")


def test_a_right_stack_is_said_to_be_right(settings: Settings) -> None:
    ensure_topics(settings)
    code, lines = outcome(*kafka_checks(settings))
    assert code == 0
    assert lines[0].split()[:2] == ["ok", "kafka"]
    assert settings.kafka.bootstrap in lines[0]
    assert lines[1].split()[:3] == ["ok", "topics", "5"]
    assert lines[2] == "everything is in place"


def test_missing_topics_are_told_with_the_mend(settings: Settings) -> None:
    code, lines = outcome(*kafka_checks(settings))
    assert code == 1
    assert f"{settings.kafka.events_topics[0]} is missing: run `salespulse topics`" in lines[1]
    assert lines[2] == "1 of 2 are wrong"


def test_more_copies_than_brokers_are_told(settings: Settings) -> None:
    kafka = msgspec.structs.replace(settings.kafka, replication_factor=9)
    code, lines = outcome(kafka_checks(msgspec.structs.replace(settings, kafka=kafka))[0])
    assert code == 1
    assert "kafka.replication_factor is 9" in lines[0]


def test_one_fault_does_not_hide_another_and_texts_are_printed_as_they_are() -> None:
    code, lines = outcome(Check("policy", broken), Check("redis", lambda: "answers"), Check("other", broken))
    assert code == 1
    assert lines[0] == "wrong policy   policy.toml: levels[0] = 3: allowed is a table [[levels]]"
    assert lines[1] == "ok    redis    answers"
    assert lines[3] == "2 of 3 are wrong"


def test_a_broker_that_is_not_there_is_one_line() -> None:
    code, lines = outcome(kafka_checks(Settings(kafka=KafkaSettings(bootstrap="127.0.0.1:1")), 0.2)[0])
    assert code == 1
    assert len(lines) == 2
    assert lines[0].startswith("wrong kafka    Kafka at 127.0.0.1:1")
