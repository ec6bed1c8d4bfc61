"""A Redis that does not do what workers and boards need is reported with a remedy, after trying it."""

import asyncio
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from config.settings import RedisSettings
from config.values import Secret
from processors.dev.process import LOOPBACK, ChildProcess, free_port
from processors.read_model.redis_probe import probe_redis, warn_of_cluster
from schemas.errors import Unavailable

PROGRAM = shutil.which("redis-server")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs redis-server on PATH")
PASSWORD = "0123456789abcdef"


@contextmanager
def server(directory: Path, *options: str) -> Iterator[Any]:
    """A server of its own with these options, each as `name value`."""
    port = free_port()
    words = [word for option in ("save ", "appendonly no", *options) for word in _option(option)]
    command = [str(PROGRAM), "--port", str(port), "--bind", LOOPBACK, "--dir", str(directory), *words]
    process = ChildProcess("redis", command, directory / "redis.log", {})
    client = redis.Redis(host=LOOPBACK, port=port, socket_timeout=5)
    try:
        process.wait_ready(lambda: _answers(client), 20)
        yield client
    finally:
        client.close()
        process.stop()


def _option(option: str) -> list[str]:
    name, _, values = option.partition(" ")
    return [f"--{name}", *(values.split() or [""])]


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.exceptions.AuthenticationError:
        return True
    except redis.exceptions.ConnectionError:
        return False


def settings_of(client: Any, user: str | None = None) -> RedisSettings:
    port = client.connection_pool.connection_kwargs["port"]
    if user is None:
        return RedisSettings(url=f"redis://{LOOPBACK}:{port}/0")
    return RedisSettings(url=f"redis://{user}@{LOOPBACK}:{port}/0", password=Secret(PASSWORD))


def probe(settings: RedisSettings) -> str:
    """What is wrong; raises if nothing is."""
    with pytest.raises(Unavailable) as caught:
        asyncio.run(probe_redis(settings))
    said = str(caught.value)
    assert "\n" not in said
    assert settings.url in said
    return said


def test_a_fit_one_is_left_as_it_was(tmp_path: Path) -> None:
    with server(tmp_path, "maxmemory 100mb", "maxmemory-policy noeviction") as client:
        asyncio.run(probe_redis(settings_of(client)))
        assert client.keys("*") == []


def test_a_cluster_is_not_supported_and_programs_say_so_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with server(tmp_path, "cluster-enabled yes") as client:
        assert "is in cluster mode, which is not supported: name a server with" in probe(settings_of(client))
        asyncio.run(warn_of_cluster(settings_of(client)))
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "is in cluster mode, which is not supported" in record.getMessage()


def test_nothing_is_said_of_clusters_to_one_that_is_none_or_that_is_away(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with server(tmp_path) as client:
        asyncio.run(warn_of_cluster(settings_of(client)))
    asyncio.run(warn_of_cluster(settings_of(client)))
    assert caplog.records == []


@pytest.mark.parametrize("info", ["+info", "-info"])
@pytest.mark.parametrize("rights", ["+@all -@scripting ~*", "+@all -hset ~*", "+@all ~other:*"])
def test_a_user_without_the_rights_is_named_with_them(tmp_path: Path, rights: str, info: str) -> None:
    with server(tmp_path) as client:
        client.execute_command("ACL", "SETUSER", "pulse", "on", f">{PASSWORD}", *rights.split(), info)
        said = probe(settings_of(client, "pulse"))
        assert "let the user have all keys below redis.prefix and the commands +@all -@dangerous +info" in said
        assert PASSWORD not in said


def test_a_user_with_the_documented_rights_is_fit(tmp_path: Path) -> None:
    with server(tmp_path) as client:
        rights = ["~salespulse:*", "+@all", "-@dangerous", "+info"]
        client.execute_command("ACL", "SETUSER", "pulse", "on", f">{PASSWORD}", *rights)
        asyncio.run(probe_redis(settings_of(client, "pulse")))
        assert client.keys("*") == []


def test_a_wrong_password_is_reported(tmp_path: Path) -> None:
    with server(tmp_path, "requirepass other") as client:
        said = probe(RedisSettings(url=f"redis://{LOOPBACK}:{client.connection_pool.connection_kwargs['port']}/0"))
        assert "redis.password_file" in said


def test_a_replica_is_reported_with_its_primary(tmp_path: Path) -> None:
    with server(tmp_path, f"replicaof {LOOPBACK} 1") as client:
        assert f"is a replica of {LOOPBACK}:1: name the primary in redis.url" in probe(settings_of(client))


def test_a_replica_is_reported_to_users_without_info(tmp_path: Path) -> None:
    with server(tmp_path) as client:
        client.execute_command("ACL", "SETUSER", "pulse", "on", f">{PASSWORD}", "+@all", "~*", "-info")
        client.execute_command("REPLICAOF", LOOPBACK, "1")
        assert "name the primary in redis.url" in probe(settings_of(client, "pulse"))


def test_a_full_one_and_one_that_evicts_are_reported(tmp_path: Path) -> None:
    with server(tmp_path, "maxmemory 1", "maxmemory-policy noeviction") as client:
        assert "it is full: raise maxmemory" in probe(settings_of(client))
        client.config_set("maxmemory", "100mb")
        asyncio.run(probe_redis(settings_of(client)))
        client.config_set("maxmemory-policy", "allkeys-lru")
        assert "set maxmemory-policy noeviction" in probe(settings_of(client))
