"""Settings come from defaults, file and environment; mistakes are one line of error; secrets are never shown."""

from pathlib import Path
from typing import get_type_hints

import msgspec
import pytest

from config.settings import HERE, Settings, as_environment, load_settings
from config.values import allowed, is_secret
from schemas.errors import ConfigError


def written(tmp_path: Path, text: str) -> Path:
    """A settings file with this text."""
    path = tmp_path / "salespulse.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path | None, env: dict[str, str]) -> str:
    """The error about wrong settings."""
    with pytest.raises(ConfigError) as caught:
        load_settings(path, env)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_documented_file_has_exactly_the_defaults() -> None:
    assert load_settings(HERE / "default.toml", {}) == load_settings(None, {}) == Settings()


def test_the_documented_file_names_every_key_that_a_file_may_set() -> None:
    text = (HERE / "default.toml").read_text(encoding="utf-8")
    for section in msgspec.structs.fields(Settings):
        body = text.split(f"[{section.name}]\n")[1].split("\n[")[0]
        for key in msgspec.structs.fields(section.type):
            if not is_secret(key.type):
                assert f"\n{key.name} = " in body or f"\n# {key.name} = " in body, f"{section.name}.{key.name}"


def test_every_setting_describes_what_is_allowed() -> None:
    for section in msgspec.structs.fields(Settings):
        for key, kind in get_type_hints(section.type, include_extras=True).items():
            if not key.startswith("_"):
                assert allowed(kind), f"{section.name}.{key}"


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    path = written(tmp_path, '[kafka]\nbootstrap = "file:1"\ngroup = "of-file"\n')
    settings = load_settings(path, {"SALESPULSE_KAFKA__BOOTSTRAP": "env-1:1,env-2:2", "HOME": "/"})
    assert (settings.kafka.bootstrap, settings.kafka.group) == ("env-1:1,env-2:2", "of-file")
    assert settings.kafka.partitions == Settings().kafka.partitions


def test_texts_of_the_environment_become_numbers_instants_and_lists() -> None:
    settings = load_settings(
        None,
        {
            "SALESPULSE_KAFKA__EVENTS_TOPICS": "crm.a, crm.b",
            "SALESPULSE_KAFKA__PARTITIONS": "12",
            "SALESPULSE_CLOCK__MODE": "fixed",
            "SALESPULSE_CLOCK__AT": "2017-12-31T23:59:59Z",
            "SALESPULSE_CLOCK__SPEED": "60",
        },
    )
    assert settings.kafka.events_topics == ("crm.a", "crm.b")
    assert settings.kafka.partitions == 12
    assert settings.clock.at is not None
    assert settings.clock.at.isoformat() == "2017-12-31T23:59:59+00:00"
    assert settings.clock.speed == 60.0


def test_an_empty_variable_and_one_of_something_else_change_nothing() -> None:
    assert load_settings(None, {"SALESPULSE_KAFKA__GROUP": "", "SALESPULSE_TEST_BROKER": "kafka"}) == Settings()


def test_a_variable_with_one_underscore_too_few_is_an_error_and_one_of_kubernetes_is_not() -> None:
    assert refusal(None, {"SALESPULSE_KAFKA_BOOTSTRAP": "kafka:9092"}) == (
        "environment: SALESPULSE_KAFKA_BOOTSTRAP is not read; allowed: SALESPULSE_KAFKA__BOOTSTRAP"
    )
    assert load_settings(None, {"SALESPULSE_BOARD_PORT": "tcp://10.0.0.1:80"}) == Settings()


@pytest.mark.parametrize(
    "url", ["redis://h", "redis://me@h:1/3", "rediss://h:6380", "unix:///run/redis.sock", "redis://[::1]:6379/0"]
)
def test_an_address_of_redis_may_be_short_named_encrypted_a_socket_or_ipv6(url: str) -> None:
    assert load_settings(None, {"SALESPULSE_REDIS__URL": url}).redis.url == url


@pytest.mark.parametrize(
    ("key", "value", "allowed_words"),
    [
        ("REDIS__URL", "redis://h:99999/0", "a port from 1 to 65535"),
        ("REDIS__URL", "redis://h:abc/0", "a port from 1 to 65535"),
        ("REDIS__URL", "redis://h:1/x", "a whole number for the db"),
        ("REDIS__URL", "redis:///0", "redis://host:port/db"),
        ("KAFKA__BOOTSTRAP", "h:1,h:99999", "a port from 1 to 65535"),
        ("KAFKA__BOOTSTRAP", "h", "does not fit; allowed: host:port"),
    ],
)
def test_an_address_that_nobody_can_have_is_a_mistake(key: str, value: str, allowed_words: str) -> None:
    message = refusal(None, {f"SALESPULSE_{key}": value})
    assert value in message
    assert allowed_words in message


def test_a_password_in_the_address_of_redis_is_refused_without_being_shown() -> None:
    for url in ("redis://me:hunter2@h:1/0", "redis://:hunter2@h/0", "redis://h/0?password=hunter2"):
        message = refusal(None, {"SALESPULSE_REDIS__URL": url})
        assert "hunter2" not in message
        assert "redis.password_file" in message


def test_a_relative_path_starts_at_the_file_that_names_it(tmp_path: Path) -> None:
    assert load_settings(written(tmp_path, '[policy]\npath = "mine.toml"'), {}).policy.path == tmp_path / "mine.toml"
    assert load_settings(None, {"SALESPULSE_POLICY__PATH": "mine.toml"}).policy.path == Path.cwd() / "mine.toml"


def test_a_child_process_gets_the_same_settings_through_its_environment(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hunter2\n", encoding="utf-8")
    path = written(
        tmp_path,
        """
        [kafka]
        events_topics = ["a", "b"]
        security_protocol = "SASL_SSL"
        sasl_mechanism = "PLAIN"
        sasl_username = "me"
        sasl_password_file = "word"
        [clock]
        mode = "scaled"
        at = 2026-01-01T00:00:00.000001+02:00
        wall_origin = 2026-01-02T00:00:00Z
        speed = 59.5
        """,
    )
    settings = load_settings(path, {"SALESPULSE_REDIS__PASSWORD": "swordfish"})
    assert load_settings(None, as_environment(settings)) == settings


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[kafka]\npartitions = 0", ["kafka.partitions = 0", "from 1 to 1000000"]),
        ('[kafka]\npartitions = "4"', ["kafka.partitions = '4'", "a whole number"]),
        ("[kafka]\npartitions = true", ["kafka.partitions = True"]),
        ('[kafka]\nbootstrap = "broker"', ["kafka.bootstrap = 'broker'", "host:port"]),
        ("[kafka]\nevents_topics = []", ["kafka.events_topics = []", "one or more topics"]),
        ('[kafka]\nreps_topic = "a b"', ["kafka.reps_topic = 'a b'", "letters"]),
        ('[kafka]\nsecurity_protocol = "TLS"', ["'TLS'", "PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"]),
        ('[kafka]\nbootstap = "b:1"', ["kafka.bootstap", "did you mean bootstrap?"]),
        ("[kaffka]\n", ["kaffka: ", "did you mean kafka?"]),
        ("kafka = 1", ["kafka = 1", "[kafka]"]),
        ('[board]\nshard = "4/4"', ["board.shard = 4/4", "counted from 0"]),
        ("[board]\nport = 65536", ["board.port = 65536", "65535"]),
        ("[clock]\nat = 2026-01-01T00:00:00", ["clock.at = 2026-01-01T00:00:00: ", "with its offset"]),
        ("[clock]\nat = 2026-01-01", ["clock.at = 2026-01-01: ", "with its offset"]),
        ('[clock]\nmode = "fixed"', ["clock.at = unset", "2026-"]),
        ('[clock]\nmode = "scaled"\nat = 2026-01-01T00:00:00Z', ["clock.wall_origin = unset"]),
        ("[clock]\nspeed = 0", ["clock.speed = 0", "more than 0"]),
        ("[policy]\npath = 3", ["policy.path = 3", "a path"]),
        ("[retention]\nroots_days = 10", ["retention.roots_days = 10", "retention.windows_days (365)"]),
        ('[kafka]\nsecurity_protocol = "SASL_SSL"', ["kafka.sasl_mechanism = unset", "SASL_SSL"]),
        ('[kafka]\nsasl_username = "me"', ["kafka.security_protocol = PLAINTEXT", "kafka.sasl_username is set"]),
        ('[kafka]\nssl_keyfile = "key.pem"', ["kafka.ssl_certfile = unset"]),
        ('[kafka]\nreps_topic = "crm.events"', ["kafka.reps_topic = crm.events", "but kafka.events_topics names it"]),
        ('[notifier]\nlog_topic = "crm.reps"', ["notifier.log_topic = crm.reps", "but kafka.reps_topic names it"]),
        ('[kafka]\nevents_topics = ["a", "a"]', ["kafka.events_topics = a", "but kafka.events_topics names it"]),
        ('[kafka]\nsasl_password_file = "word"', ["kafka.security_protocol = PLAINTEXT", "sasl_password_file is set"]),
        ('[redis]\npassword_file = "nowhere"', ["redis.password_file", "nowhere", "readable"]),
        ("[kafka\n", ["is no TOML", "line 1"]),
    ],
)
def test_a_mistake_in_the_file_names_file_key_value_and_what_is_allowed(
    tmp_path: Path,
    text: str,
    parts: list[str],
) -> None:
    path = written(tmp_path, text)
    message = refusal(path, {})
    for part in [str(path), *parts]:
        assert part in message


@pytest.mark.parametrize(
    ("variable", "value", "parts"),
    [
        ("SALESPULSE_KAFKA__PARTITIONS", "many", ["'many'", "a whole number from 1 to 1000000"]),
        ("SALESPULSE_KAFKA__PARTITON", "4", ["did you mean partitions?"]),
        ("SALESPULSE_KAFCA__PARTITIONS", "4", ["did you mean kafka?"]),
        ("SALESPULSE_CLOCK__MODE", "slow", ["'slow'", "wall, scaled, fixed"]),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(variable: str, value: str, parts: list[str]) -> None:
    message = refusal(None, {variable: value})
    for part in [variable, *parts]:
        assert part in message


@pytest.mark.parametrize("key", ["KAFKA__SASL_PASSWORD", "NOTIFIER__WEBHOOK_SECRET", "NOTIFIER__EMAIL_PASSWORD"])
def test_a_secret_of_the_environment_that_lacks_its_fellows_is_not_called_a_file(key: str) -> None:
    message = refusal(None, {f"SALESPULSE_{key}": "swordfish"})
    assert key.replace("__", ".").lower() in message
    assert "_file" not in message
    assert "swordfish" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none.toml") in refusal(tmp_path / "none.toml", {})


def test_secrets_are_read_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hunter2\n", encoding="utf-8")
    settings = load_settings(
        written(tmp_path, '[redis]\npassword_file = "word"'),
        {
            "SALESPULSE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "SALESPULSE_KAFKA__SASL_MECHANISM": "PLAIN",
            "SALESPULSE_KAFKA__SASL_USERNAME": "me",
            "SALESPULSE_KAFKA__SASL_PASSWORD": "swordfish",
        },
    )
    assert settings.redis.password is not None
    assert settings.redis.password.reveal() == "hunter2"
    assert settings.kafka.sasl_password is not None
    assert settings.kafka.sasl_password.reveal() == "swordfish"
    for shown in (repr(settings), str(settings), f"{settings.redis.password}"):
        assert "hunter2" not in shown
        assert "swordfish" not in shown


def test_a_password_in_a_settings_file_or_in_a_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    for text in ('[redis]\npassword = "hunter2"', '[redis]\nurl = "redis://:hunter2@host/0"'):
        message = refusal(written(tmp_path, text), {})
        assert "hunter2" not in message
        assert "password_file" in message
    assert "hunter2" not in refusal(None, {"SALESPULSE_REDIS__URL": "redis://me:hunter2@host/0"})


def test_two_sources_for_one_secret_are_refused(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("hunter2", encoding="utf-8")
    path = written(tmp_path, '[redis]\npassword_file = "word"')
    assert "one source" in refusal(path, {"SALESPULSE_REDIS__PASSWORD": "swordfish"})
