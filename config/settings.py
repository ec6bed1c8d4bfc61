"""Every setting of Salespulse, typed: defaults, then a TOML file, then the environment. `default.toml` explains each.

`SALESPULSE_<SECTION>__<KEY>` overrides a key, as in `SALESPULSE_KAFKA__BOOTSTRAP=broker:9092`; an empty variable counts
as unset. Secrets come from the environment or from files of their own, and are never shown.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from stat import S_IRGRP, S_IROTH
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from config.board_settings import BoardSettings, board_problems, tokens_of
from config.environment import PLACE, read_environment, variable
from config.notifier_settings import NotifierSettings, notifier_problems
from config.toml_document import TomlDocument
from config.values import (
    MEBIBYTE,
    BatchBytes,
    Bootstrap,
    Count,
    Days,
    FetchBytes,
    FilePath,
    Host,
    Instant,
    Label,
    Port,
    RedisUrl,
    Seconds,
    Secret,
    SecretText,
    Speed,
    Text,
    TopicName,
    TopicNames,
    key_of_secret,
    to_environment,
)
from schemas.errors import ConfigError

HERE = Path(__file__).resolve().parent
MAX_PORT = 65_535
SECRET_FILES = ("password_file", "secret_file", "tokens_file", "url_file", "keyfile")
"""How the keys of files with secrets end."""

Problem = tuple[str, object, str]
"""The dotted key, its value, and what is allowed."""


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The broker, the topics on it and how to reach it."""

    bootstrap: Bootstrap = "127.0.0.1:9092"
    events_topics: TopicNames = ("crm.events",)
    reps_topic: TopicName = "crm.reps"
    dead_letters_topic: TopicName = "crm.dead-letters"
    alerts_topic: TopicName = "crm.sla.alerts"
    group: Label = "salespulse"
    session_timeout_seconds: Seconds = 6.0
    partitions: Count = 4
    replication_factor: Count = 1
    max_batch_bytes: BatchBytes = 64 * MEBIBYTE
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: Text | None = None
    sasl_password: SecretText | None = None
    """What `sasl_password_file` holds, once loaded."""
    sasl_password_file: FilePath | None = None
    ssl_cafile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile: FilePath | None = None

    @property
    def journal_topic(self) -> str:
        """The changelog topic of the group's workers: their durable state, partitioned as the events topics are."""
        return f"{self.group}-journal-changelog"


class RedisSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The read model's server."""

    url: RedisUrl = "redis://127.0.0.1:6379/0"
    prefix: Label = "salespulse"
    password: SecretText | None = None
    """What `password_file` holds, once loaded."""
    password_file: FilePath | None = None
    tls_cafile: FilePath | None = None
    tls_certfile: FilePath | None = None
    tls_keyfile: FilePath | None = None


class WorkerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One worker process."""

    metrics_host: Host = "127.0.0.1"
    metrics_port: Port = 9101
    publish_interval_seconds: Seconds = 0.25
    checkpoint_interval_seconds: Seconds = 1.0
    max_batch_records: Count = 4000
    max_fetch_bytes: FetchBytes = 8 * MEBIBYTE
    data_dir: FilePath = HERE.parent / "var"


class ClockSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The clock: the wall's, a scaled one that showed `at` at `wall_origin`, or one that always shows `at`."""

    mode: Literal["wall", "scaled", "fixed"] = "wall"
    at: Instant | None = None
    wall_origin: Instant | None = None
    speed: Speed = 1.0


class PolicySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the policy is written: levels, calendars, stages."""

    path: FilePath = HERE / "policy.toml"


class RetentionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long facts are kept, in days."""

    windows_days: Days = 365
    slack_days: Days = 5
    roots_days: Days = 400

    @property
    def windows_kept_days(self) -> int:
        """How long what windows see is kept: the longest one and its slack."""
        return self.windows_days + self.slack_days


class AlertsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts are still worth sending."""

    max_age_seconds: Count = 3600


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All sections."""

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    worker: WorkerSettings = WorkerSettings()
    board: BoardSettings = BoardSettings()
    clock: ClockSettings = ClockSettings()
    policy: PolicySettings = PolicySettings()
    retention: RetentionSettings = RetentionSettings()
    alerts: AlertsSettings = AlertsSettings()
    notifier: NotifierSettings = NotifierSettings()


def load_settings(path: Path | None, env: Mapping[str, str]) -> Settings:
    """The defaults, then the file if one is given, then the environment.

    Raises ConfigError naming file and line (or the environment), key, value and what is allowed.
    """
    document = None if path is None else TomlDocument.load(path)
    settings = Settings() if document is None else document.read(Settings)
    overridden: dict[str, dict[str, Any]] = {}
    for section, key, value in read_environment(env, Settings):
        overridden.setdefault(section, {})[key] = value
    changed: dict[str, Any] = {
        section: msgspec.structs.replace(getattr(settings, section), **keys) for section, keys in overridden.items()
    }
    settings = msgspec.structs.replace(settings, **changed)

    def position(dotted_key: str) -> str:
        """Where a key has its value from; one without any is missing in the file, if there is one."""
        section, key = dotted_key.split(".")
        return PLACE if document is None or key in overridden.get(section, {}) else document.position((section, key))

    for key, found, wanted in _problems(settings):
        raise ConfigError(f"{position(key)}: {key} = {found}: does not fit; allowed: {wanted}")
    settings = _with_secrets(settings, position)
    tokens_of(settings.board)
    return settings


def as_environment(settings: Settings) -> dict[str, str]:
    """The variables that give a child process these very settings."""
    sections = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return {
        variable(name, key): to_environment(value)
        for name, section in sections.items()
        for key, value in msgspec.structs.asdict(section).items()
        if value is not None and getattr(section, f"{key}_file", None) is None
    }


def _problems(settings: Settings) -> Iterator[Problem]:
    yield from _kafka_problems(settings.kafka)
    yield from _redis_problems(settings.redis)
    yield from notifier_problems(settings.notifier)
    yield from board_problems(settings.board)
    yield from _topic_problems(settings)
    clock, retention = settings.clock, settings.retention
    if clock.mode != "wall" and clock.at is None:
        yield "clock.at", "unset", f"an instant like 2026-11-23T09:00:00Z when clock.mode is {clock.mode}"
    if clock.mode == "scaled" and clock.wall_origin is None:
        yield "clock.wall_origin", "unset", "the wall's instant at which the clock shows clock.at, in mode scaled"
    if retention.roots_days < retention.windows_days:
        yield "retention.roots_days", retention.roots_days, f"retention.windows_days ({retention.windows_days}) or more"


def _redis_problems(redis: RedisSettings) -> Iterator[Problem]:
    parts = urlsplit(redis.url)
    try:
        host, database = parts.hostname, parts.path.removeprefix("/")
        fits = parts.port != 0 and (parts.scheme == "unix" or (host and (not database or database.isdecimal())))
    except ValueError:  # of `port`
        fits = False
    if (redis.tls_certfile is None) != (redis.tls_keyfile is None):
        yield "redis.tls_certfile", redis.tls_certfile or "unset", "a certificate together with redis.tls_keyfile"
    if not fits:
        yield "redis.url", redis.url, "redis://host:port/db with a port from 1 to 65535 and a whole number for the db"


def _kafka_problems(kafka: KafkaSettings) -> Iterator[Problem]:
    ports = [int(address.rpartition(":")[2]) for address in kafka.bootstrap.split(",")]
    if not all(1 <= port <= MAX_PORT for port in ports):
        yield "kafka.bootstrap", kafka.bootstrap, f"host:port with a port from 1 to {MAX_PORT}"
    yield from _sasl_problems(kafka)
    if (kafka.ssl_certfile is None) != (kafka.ssl_keyfile is None):
        yield "kafka.ssl_certfile", kafka.ssl_certfile or "unset", "a certificate together with kafka.ssl_keyfile"


def _topic_problems(settings: Settings) -> Iterator[Problem]:
    topics = [("kafka.events_topics", topic) for topic in settings.kafka.events_topics]
    for section in ("kafka", "notifier"):
        values = msgspec.structs.asdict(getattr(settings, section))
        topics += [(f"{section}.{key}", values[key]) for key in values if key.endswith("_topic")]
    first: dict[str, str] = {}
    for key, topic in topics:
        if topic in first:
            yield key, topic, f"a topic for one purpose only, but {first[topic]} names it, too"
        first.setdefault(topic, key)


def _sasl_problems(kafka: KafkaSettings) -> Iterator[Problem]:
    needed = {
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_username": kafka.sasl_username,
        key_of_secret(kafka, "sasl_password"): kafka.sasl_password or kafka.sasl_password_file,
    }
    sasl = kafka.security_protocol.startswith("SASL_")
    for key, value in needed.items():
        if sasl and value is None:
            yield f"kafka.{key}", "unset", f"a value, since kafka.security_protocol is {kafka.security_protocol}"
        if not sasl and value is not None:
            yield (
                "kafka.security_protocol",
                kafka.security_protocol,
                f"SASL_SSL or SASL_PLAINTEXT when kafka.{key} is set",
            )


def _with_secrets(settings: Settings, position: Callable[[str], str]) -> Settings:
    """Every key that has a `_file` beside it gets what the file holds."""
    sections = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return Settings(**{name: _with_secrets_of(section, name, position) for name, section in sections.items()})


def _with_secrets_of(section: Any, name: str, position: Callable[[str], str]) -> Any:
    keys = [key for key in section.__struct_fields__ if f"{key}_file" in section.__struct_fields__]
    secrets = {key: _secret(section, key, f"{name}.{key}_file", position) for key in keys}
    return msgspec.structs.replace(section, **secrets) if secrets else section


def _secret(section: msgspec.Struct, key: str, file_key: str, position: Callable[[str], str]) -> Secret | None:
    """The secret itself, or what its file holds. Two sources for one secret would hide a mistake."""
    given: Secret | None = getattr(section, key)
    path: Path | None = getattr(section, f"{key}_file")
    if path is None:
        return given
    place = f"{position(file_key)}: {file_key} = {path}"
    if given is not None:
        raise ConfigError(f"{place}: is set beside the variable without _FILE; allowed: one source")
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{place}: cannot be read ({error}); allowed: a readable text file") from error
    if not text:
        raise ConfigError(f"{place}: is empty; allowed: a file that holds the secret")
    return Secret(text)


def exposed_files(settings: Settings) -> Iterator[str]:
    """A line, with the fix, for each file of a secret that others than its owner may read."""
    for name in settings.__struct_fields__:
        for key, value in msgspec.structs.asdict(getattr(settings, name)).items():
            if key.endswith(SECRET_FILES) and isinstance(value, Path):
                mode = value.stat().st_mode if value.is_file() else 0
                if mode & (S_IRGRP | S_IROTH):
                    yield f"{name}.{key} = {value}: others may read it (mode {mode & 0o777:03o}): chmod 600"
