"""docker-compose.yml brings up what the project has, with the very files that the tests run."""

import json
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from click import Context
from jsonschema import Draft7Validator

from config.settings import Settings, load_settings
from processors.commands.cli import main

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
COMPOSE: Json = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Json] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "salespulse:local"}
RUNNING = {name: service for name, service in SERVICES.items() if name not in {"topics", "simulator"}}
every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES.keys())


def mounts(service: Json) -> list[tuple[str, str]]:
    """Source and place in the container of every mount."""
    return [(one.split(":")[0], one.split(":")[1]) for one in service.get("volumes", [])]


def compose_program() -> list[str]:
    """The command of compose, version 2 or newer; skips the test, saying so, when it is not installed."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, text=True, check=False)
            if done.returncode == 0 and not re.search(r"version 1\.", done.stdout):
                return command
    pytest.skip("docker compose is not installed")


def test_compose_accepts_the_file(tmp_path: Path) -> None:
    """With the passwords that the script makes, and not without."""
    program = compose_program()
    env = tmp_path / "env"
    subprocess.run(["sh", ROOT / "deploy" / "make-env.sh", env], check=True, capture_output=True)
    command = [*program, "--project-directory", str(ROOT), "--profile", "simulator"]
    check = ["config", "--quiet"]
    done = subprocess.run([*command, "--env-file", str(env), *check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    empty = subprocess.run([*command, "--env-file", "/dev/null", *check], capture_output=True, text=True, check=False)
    assert empty.returncode != 0
    assert "make-env.sh" in empty.stderr


def test_the_file_fits_the_schema_of_compose() -> None:
    """The one of the Compose Specification (Apache-2.0, as of compose-go 2.4.9), with no field that does not exist."""
    schema: Json = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
    found = [f"{error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(COMPOSE)]
    assert found == []


def test_the_schema_notices_a_misspelled_key() -> None:
    """Or the test before would prove nothing."""
    schema: Json = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
    wrong = COMPOSE | {"services": {"worker": SERVICES["worker"] | {"helthcheck": {}}}}
    assert not Draft7Validator(schema).is_valid(wrong)


def test_whoever_is_waited_for_exists_and_can_be_healthy() -> None:
    """A service that waits for another's health needs a health check there."""
    for service in SERVICES.values():
        for name, wanted in service.get("depends_on", {}).items():
            assert name in SERVICES
            assert wanted["condition"] != "service_healthy" or "healthcheck" in SERVICES[name], name


def test_all_parts_are_there() -> None:
    """The programs of the project and what they need."""
    programs = {"topics", "worker", "board", "notifier", "simulator"}
    assert set(SERVICES) == programs | {"kafka", "redis", "prometheus", "alertmanager", "grafana"}
    assert set(OURS) == programs
    assert SERVICES["simulator"]["profiles"] == ["simulator"]


@every_service
def test_every_mounted_file_exists(service: Json) -> None:
    """A path that is missing would become an empty directory."""
    for source, _ in mounts(service):
        assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"], source


def test_the_mounted_files_are_the_tested_ones() -> None:
    """Not copies of them."""
    found = {source for service in SERVICES.values() for source, _ in mounts(service) if source.startswith("./")}
    assert found == {
        "./config/alertmanager/alertmanager.yml",
        "./config/alertmanager/templates",
        "./config/kafka/server.properties",
        "./config/policy.toml",
        "./config/prometheus",
        "./deploy/secrets",
        "./grafana/dashboards",
        "./grafana/provisioning",
    }


@every_service
def test_images_are_pinned(service: Json) -> None:
    """To a version that people read and a digest that nobody can move."""
    assert re.fullmatch(r"[\w./-]+:(v?\d+\.\d+\.\d+(-alpine)?@sha256:[0-9a-f]{64}|local)", service["image"])


def test_kafka_is_the_version_that_the_tests_run() -> None:
    """The one of the Maven file."""
    pom = (ROOT / "tests" / "apache_kafka" / "pom.xml").read_text(encoding="utf-8")
    found = re.search(r"<kafka.version>([\d.]+)</kafka.version>", pom)
    assert found
    assert SERVICES["kafka"]["image"].startswith(f"apache/kafka:{found[1]}@")


@pytest.mark.parametrize("service", RUNNING.values(), ids=RUNNING.keys())
def test_whatever_runs_is_watched_and_limited(service: Json) -> None:
    """Health check, limits and a restart."""
    assert service["healthcheck"]["test"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service["restart"] == "unless-stopped"


@every_service
def test_nothing_listens_beyond_this_machine(service: Json) -> None:
    """A port without an address would listen on all."""
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@every_service
def test_no_password_stands_in_the_file(service: Json) -> None:
    """Each comes from the environment and must be set."""
    for name, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|TOKEN|AUTH", name):
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


@every_service
def test_containers_have_no_rights(service: Json) -> None:
    """They write nowhere but to memory, gain nothing, and are nobody."""
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("service", OURS.values(), ids=OURS.keys())
def test_our_containers_run_commands_that_exist(service: Json) -> None:
    """With options that the command knows."""
    name, *options = service["command"]
    command = main.get_command(Context(main), name)
    assert command is not None, f"salespulse has no command {name}"
    known = {word for parameter in command.params for word in parameter.opts}
    assert {word for word in options if word.startswith("-")} <= known


@pytest.mark.parametrize("service", OURS.values(), ids=OURS.keys())
def test_our_containers_have_settings_that_exist(service: Json) -> None:
    """As the program reads them, with a password in the place of the variable."""
    environment = {name: "x" if value.startswith("${") else value for name, value in service["environment"].items()}
    settings = load_settings(None, environment)
    assert settings.kafka.bootstrap == "kafka:19092"
    assert settings.redis.password is not None
    assert isinstance(settings, Settings)
    assert settings.notifier.alertmanager_urls == (
        ("http://alertmanager:9093",) if "notifier" in service["command"] else ()
    )
    assert str(settings.policy.path) in {place for _, place in mounts(service)}


def test_kafka_advertises_the_names_that_clients_use() -> None:
    """One for containers, one for this machine."""
    text = (ROOT / "config" / "kafka" / "server.properties").read_text(encoding="utf-8")
    found = re.search(r"^advertised\.listeners=(.*)$", text, re.MULTILINE)
    assert found
    assert found[1] == "INSIDE://kafka:19092,HOST://localhost:9092"
    assert SERVICES["kafka"]["ports"] == ["127.0.0.1:9092:9092"]
    [directory] = re.findall(r"^log\.dirs=(.*)$", text, re.MULTILINE)
    assert ("kafka-data", directory) in mounts(SERVICES["kafka"])


def test_only_our_own_programs_reach_both_networks() -> None:
    """What people look at has no way to the stores."""
    networks = {name: set(service["networks"]) for name, service in SERVICES.items()}
    assert {name for name, mine in networks.items() if mine == {"stores", "watching"}} == set(OURS)
    assert {name for name, mine in networks.items() if mine == {"stores"}} == {"kafka", "redis"}
    assert set(COMPOSE["networks"]) == {"stores", "watching"}


def test_prometheus_looks_for_services_that_exist() -> None:
    """By name and port."""
    text = (ROOT / "config" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
    looked_up = set(re.findall(r"names: \[(\w+)\], type: A, port: (\d+)", text))
    assert looked_up == {("board", "8080"), ("worker", "9101"), ("notifier", "9102"), ("alertmanager", "9093")}
    assert {name for name, _ in looked_up} <= SERVICES.keys()
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert "EXPOSE 8080 9101 9102" in image
    assert str(Settings().board.port) == "8080"
    assert str(Settings().worker.metrics_port) == "9101"
    assert str(Settings().notifier.metrics_port) == "9102"


def test_grafana_is_provisioned_with_what_is_there() -> None:
    """Sources are services, folders are mounted."""
    folder = ROOT / "grafana" / "provisioning"
    sources: Json = yaml.safe_load((folder / "datasources" / "salespulse.yml").read_text(encoding="utf-8"))
    hosts = {re.sub(r"^http://(\w+):\d+$", r"\1", one["url"]) for one in sources["datasources"]}
    assert hosts == {"prometheus", "alertmanager"}
    providers: Json = yaml.safe_load((folder / "dashboards" / "salespulse.yml").read_text(encoding="utf-8"))
    [(source, place)] = [one for one in mounts(SERVICES["grafana"]) if one[0] == "./grafana/dashboards"]
    for one in providers["providers"]:
        inside = Path(one["options"]["path"]).relative_to(place)
        assert list((ROOT / source / inside).glob("*.json"))
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).relative_to(place)
    assert (ROOT / source / home).exists()


def test_the_script_makes_passwords_once(tmp_path: Path) -> None:
    """Random, for the owner's eyes only, and it keeps what is there."""
    script = ROOT / "deploy" / "make-env.sh"
    texts = []
    for name in ("one", "two"):
        subprocess.run(["sh", script, tmp_path / name], check=True, capture_output=True)
        texts.append((tmp_path / name).read_text(encoding="utf-8"))
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    passwords = [re.findall(r"^(\w+)=([0-9a-f]{48})$", text, re.MULTILINE) for text in texts]
    needed = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text(encoding="utf-8")))
    assert {name for name, _ in passwords[0]} == needed
    assert not set(passwords[0]) & set(passwords[1])
    again = subprocess.run(["sh", script, tmp_path / "one"], capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "exists" in again.stderr
    assert (tmp_path / "one").read_text(encoding="utf-8") == texts[0]


def test_redis_starts_with_the_file_that_its_command_writes(tmp_path: Path) -> None:
    """The very command of the container, with another directory: it asks for the password and evicts nothing."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    socket = tmp_path / "socket"
    script: str = SERVICES["redis"]["command"][2].replace("$$", "$").replace("/tmp", str(tmp_path))  # noqa: S108
    script = f"{script.strip()} --port 0 --unixsocket {socket}"
    environment = {"REDISCLI_AUTH": "secret", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(["sh", "-c", script], env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            wait_until(socket.exists)
            with pytest.raises(redis.AuthenticationError), redis.Redis(unix_socket_path=str(socket)) as client:
                client.ping()
            with redis.Redis(unix_socket_path=str(socket), password="secret") as client:
                assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
                assert client.config_get("save") == {"save": ""}
        finally:
            server.terminate()


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as a condition holds; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
