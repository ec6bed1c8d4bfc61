"""Apache Kafka from Maven's jars, with the shipped `config/kafka/server.properties`, on loopback ports of its own."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import msgspec

from config.settings import KafkaSettings
from processors.dev.broker import brokers_answer
from processors.dev.process import LOOPBACK, ChildProcess, free_port
from schemas.errors import Unavailable

HERE = Path(__file__).resolve().parent
JARS = HERE / "target" / "lib"
SHIPPED_PROPERTIES = HERE.parents[1] / "config" / "kafka" / "server.properties"
CLUSTER_ID = "c2FsZXNwdWxzZS10ZXN0cw"  # 16 bytes in base64, as Kafka wants it
RESOLVE_SECONDS = 900.0
FORMAT_SECONDS = 120.0
READY_SECONDS = 120.0
JVM_OPTIONS = (
    "-Xms128m",
    "-Xmx768m",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
)


class ApacheKafka:
    """A running cluster; `nodes` are its processes, in the order of their numbers from 1."""

    def __init__(self, bootstrap: str, nodes: Sequence[ChildProcess]) -> None:
        self.bootstrap = bootstrap
        self.nodes = nodes


@contextmanager
def apache_kafka(directory: Path, node_count: int = 1) -> Iterator[ApacheKafka]:
    """A cluster for the length of a block, with its data and logs in the directory; raises Unavailable."""
    ports = [(free_port(), free_port()) for _ in range(node_count)]
    bootstrap = ",".join(f"{LOOPBACK}:{broker}" for broker, _ in ports)
    files = [write_properties(directory, node, ports, {}) for node in range(1, node_count + 1)]
    with running_nodes(files, KafkaSettings(bootstrap=bootstrap)) as nodes:
        yield ApacheKafka(bootstrap, nodes)


@contextmanager
def running_nodes(files: Sequence[Path], client: KafkaSettings) -> Iterator[list[ChildProcess]]:
    """Nodes with these properties for the length of a block, once each tells this client of all; raises Unavailable.

    The client's bootstrap names every node, in the order of the files: the others know a node before its port is open.
    """
    command = [program("java"), *JVM_OPTIONS, "-cp", f"{resolved_jars()}/*"]
    for path in files:
        format_storage(command, path)
    with ExitStack() as stack:
        nodes = [start_node(command, path) for path in files]
        for node in nodes:
            stack.callback(node.kill)  # what it holds is thrown away: no need to wait for an orderly end
        for node, address in zip(nodes, client.bootstrap.split(","), strict=True):
            alone = msgspec.structs.replace(client, bootstrap=address)
            node.wait_ready(partial(brokers_answer, alone, len(files)), READY_SECONDS)
        yield nodes


def resolved_jars() -> Path:
    """The directory with Kafka's jars; Maven fills it when pom.xml has changed since. Raises Unavailable."""
    JARS.parent.mkdir(exist_ok=True)
    with (JARS.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs must not fill it at the same time
        stamp = JARS.parent / "pom.resolved.xml"
        wanted = (HERE / "pom.xml").read_bytes()
        if not stamp.exists() or stamp.read_bytes() != wanted:
            shutil.rmtree(JARS, ignore_errors=True)
            run([program("mvn"), "-q", "-B", "-f", str(HERE / "pom.xml"), "generate-resources"], RESOLVE_SECONDS)
            stamp.write_bytes(wanted)
    return JARS


def write_properties(
    directory: Path,
    node: int,
    ports: Sequence[tuple[int, int]],
    more: Mapping[str, object],
) -> Path:
    """The shipped file, what this node needs beyond it, and more: of two lines with one key the later counts."""
    broker, controller = ports[node - 1]
    replicas = len(ports)
    own = {
        "node.id": node,
        "controller.quorum.voters": ",".join(f"{n}@{LOOPBACK}:{port}" for n, (_, port) in enumerate(ports, 1)),
        "listeners": f"PLAINTEXT://{LOOPBACK}:{broker},CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{broker}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": directory / f"node-{node}" / "data",
        "default.replication.factor": replicas,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.replication.factor": replicas,
        "share.coordinator.state.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 4,
    }
    path = directory / f"node-{node}" / "server.properties"
    path.parent.mkdir(parents=True)
    lines = [
        SHIPPED_PROPERTIES.read_text(encoding="utf-8"),
        *(f"{key}={value}" for key, value in (own | dict(more)).items()),
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def format_storage(command: Sequence[str], properties: Path) -> None:
    """Prepare a node's data directory, as KRaft wants it before the first start."""
    run([*command, "kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)], FORMAT_SECONDS)


def start_node(command: Sequence[str], properties: Path) -> ChildProcess:
    """Start a node; it is not ready yet."""
    name = f"Apache Kafka {properties.parent.name}"
    return ChildProcess(name, [*command, "kafka.Kafka", str(properties)], properties.parent / "kafka.log")


def program(name: str) -> str:
    """The path of a program that the tests on Apache Kafka need; raises Unavailable."""
    found = shutil.which(name)
    if found is None:
        raise Unavailable(f"{name} is not on PATH: the tests on Apache Kafka need Java 17 or newer and Maven")
    return found


def run(command: Sequence[str], within_seconds: float) -> None:
    """Run a program to its end; raises Unavailable with what it said last."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=within_seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{command[0]} did not end within {within_seconds:g} s") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-10:]
        raise Unavailable(f"{command[0]} ended with exit code {done.returncode}: {' | '.join(said)}")
