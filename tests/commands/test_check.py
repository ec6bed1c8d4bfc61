"""`salespulse check` looks at everything, and says for what is wrong how to mend it."""

import asyncio
import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from config.clock import wall_us
from config.settings import KafkaSettings, PolicySettings, RedisSettings, Settings
from processors.commands.check import (
    Check,
    all_checks,
    kafka_checks,
    keys_are_customers,
    policy_is_right,
    redis_answers,
    run_checks,
)
from processors.core.time.instants import DAY_US
from processors.kafka import compression as codecs
from processors.kafka.topics import ensure_topics
from processors.read_model.redis_connection import connect
from processors.read_model.writer import ReadModelWriter
from schemas.errors import ConfigError, Unavailable
from schemas.views import Changes


def outcome(*checks: Check) -> tuple[int, list[str]]:
    """Exit code and lines of output."""
    console = Console(file=io.StringIO(), width=80)
    code = run_checks(checks, console)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue().splitlines()


def broken() -> str:
    """A probe of something broken."""
    raise ConfigError("policy.toml: levels[0] = 3: allowed is a table [[levels]]")


def test_a_right_stack_is_reported_as_right(settings: Settings) -> None:
    ensure_topics(settings)
    code, lines = outcome(*all_checks(settings))
    assert code == 0
    assert [line.split()[:2] for line in lines[:8]] == [
        ["ok", name] for name in ("policy", "board", "worker", "codecs", "kafka", "topics", "redis", "keys")
    ]
    assert "levels 1h, 24h; pipelines default" in lines[0]
    assert lines[1].endswith("127.0.0.1:8080: everybody may write")
    assert lines[2].endswith(str(settings.worker.data_dir))
    assert "reads gzip, snappy, lz4, zstd; a batch may have 67108864 bytes" in lines[3]
    assert settings.kafka.bootstrap in lines[4]
    assert settings.redis.url in lines[6]
    assert "all records of the last 7 days have their customer as key" in lines[7]
    assert lines[8] == "everything is in place"


def test_a_codec_that_is_not_installed_is_wrong_with_its_mend(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "cramjam", None)

    code, lines = outcome(*(check for check in all_checks(settings) if check.name == "codecs"))

    assert code == 1
    assert "compressed with snappy, lz4, zstd cannot be read: install the package cramjam" in lines[0]


def test_records_with_another_key_than_their_customer_are_warned_of(settings: Settings) -> None:
    """Everything is there, and numbers may be wrong all the same: so the last line does not say that all is well."""
    today = wall_us() // DAY_US
    publish_quality(settings, {today: 2, today - 6: 3, today - 7: 100}, "customer 'c1' without a key in crm.events/0")
    code, lines = outcome(*[check for check in all_checks(settings) if check.name in ("redis", "keys")])
    assert code == 0
    assert lines[1].startswith("warns keys     5 records of the last 7 days have no key, or another one than their")
    assert "such as customer 'c1' without a key in crm.events/0: one customer's records may be" in lines[1]
    assert lines[2] == "everything is in place, 1 warning"


def test_wrong_keys_of_long_ago_are_no_warning(settings: Settings) -> None:
    publish_quality(settings, {wall_us() // DAY_US - 7: 100}, "customer 'c1' without a key")
    assert "as far as workers have read" in str(keys_are_customers(settings))


def publish_quality(settings: Settings, days: dict[int, int], example: str) -> None:
    """What a worker says of keys."""
    encode = msgspec.msgpack.encode
    quality = {str(day): encode({"key_mismatch": count, "duplicate": 1}) for day, count in days.items()}
    changes = Changes({"quality": quality, "examples": {"key_mismatch": encode(example)}}, {})

    async def publish() -> None:
        model = ReadModelWriter(connect(settings.redis), settings.redis.prefix)
        await model.publish("crm.events/0", 9, changes, whole=True)
        await model.close()

    asyncio.run(publish())


def test_missing_topics_are_reported_with_the_fix(settings: Settings) -> None:
    code, lines = outcome(*kafka_checks(settings))
    assert code == 1
    assert lines[1].startswith(f"wrong topics   {settings.kafka.events_topics[0]}, ")
    assert lines[1].endswith(" are missing: run `salespulse topics`")
    assert lines[2] == "1 of 2 are wrong"


def test_more_copies_than_brokers_are_reported(settings: Settings) -> None:
    kafka = msgspec.structs.replace(settings.kafka, replication_factor=9)
    code, lines = outcome(kafka_checks(msgspec.structs.replace(settings, kafka=kafka))[0])
    assert code == 1
    assert "kafka.replication_factor is 9" in lines[0]


def test_one_fault_does_not_hide_another_and_texts_are_printed_as_they_are() -> None:
    code, lines = outcome(Check("policy", broken), Check("redis", lambda: "answers"), Check("other", broken))
    assert code == 2
    assert lines[0] == "wrong policy   policy.toml: levels[0] = 3: allowed is a table [[levels]]"
    assert lines[1] == "ok    redis    answers"
    assert lines[3] == "2 of 3 are wrong"


def test_a_setting_that_is_wrong_is_exit_2_and_what_only_does_not_answer_is_exit_1() -> None:
    def silent() -> str:
        raise Unavailable("Redis does not answer")

    assert outcome(Check("redis", silent))[0] == 1
    assert outcome(Check("redis", silent), Check("policy", broken))[0] == 2
    assert outcome(Check("policy", broken), Check("redis", silent))[0] == 2


def test_a_broker_that_is_not_there_is_one_line() -> None:
    code, lines = outcome(kafka_checks(Settings(kafka=KafkaSettings(bootstrap="127.0.0.1:1")), 0.2)[0])
    assert code == 1
    assert len(lines) == 2
    assert lines[0].startswith("wrong kafka    Kafka at 127.0.0.1:1")


def test_a_redis_that_is_not_there_is_reported_with_the_fix() -> None:
    settings = Settings(redis=RedisSettings(url="redis://127.0.0.1:1/0"))
    code, lines = outcome(Check("redis", lambda: redis_answers(settings)))
    assert code == 1
    assert lines[0].startswith("wrong redis    Redis at redis://127.0.0.1:1/0")
    assert "redis.url" in lines[0]


def test_a_mistake_in_the_policy_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('[[levels]]\nname = "1h"\nseconds = 3600\n', encoding="utf-8")
    settings = Settings(policy=PolicySettings(path=path))
    code, lines = outcome(Check("policy", lambda: policy_is_right(settings)))
    assert code == 2
    assert str(path) in lines[0]
    assert "pipelines" in lines[0]


def test_what_needs_something_that_is_wrong_is_not_waited_for() -> None:
    code, lines = outcome(Check("kafka", broken), Check("topics", lambda: "8 topics", needs="kafka"))
    assert code == 2
    assert lines[1] == "wrong topics   cannot be looked at while kafka is wrong"
    code, lines = outcome(Check("kafka", lambda: "1 broker"), Check("topics", lambda: "8 topics", needs="kafka"))
    assert (code, lines[1]) == (0, "ok    topics   8 topics")
