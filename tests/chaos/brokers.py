"""Three Apache Kafka brokers that can be killed one by one, each with a second listener that leads through a proxy."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from config.settings import KafkaSettings
from config.values import Secret
from processors.dev.broker import brokers_answer
from processors.dev.process import LOOPBACK, ChildProcess, free_port
from tests.apache_kafka.apache_kafka import (
    JVM_OPTIONS,
    format_storage,
    program,
    resolved_jars,
    start_node,
    write_properties,
)
from tests.apache_kafka.secured import PASSWORD, USER, new_certificate, secure_properties

NODES = 3
JVM = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Small, and quick to start: the processors are for what is tested."""
READY_SECONDS = 240.0
STOP_SECONDS = 60.0
DIRECT, PROXIED = "DIRECT", "PROXIED"


class Ports(NamedTuple):
    """The ports of a node; `advertised` is the proxy's, which leads to `proxied`."""

    direct: int
    controller: int
    proxied: int
    advertised: int


class Node:
    """A broker that keeps its data when it ends and starts again."""

    def __init__(self, number: int, command: Sequence[str], properties: Path, client: KafkaSettings) -> None:
        """`client` reaches this node and no other."""
        self.name = f"broker {number}"
        self._command = command
        self._properties = properties
        self._client = client
        self._process: ChildProcess | None = None

    @property
    def process(self) -> ChildProcess:
        """Its process, which may have ended."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    @property
    def runs(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.exit_code is None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        self._process = start_node(self._command, self._properties)

    def is_ready(self) -> bool:
        """Whether it knows all the others."""
        return brokers_answer(self._client, NODES)

    def stop(self) -> None:
        """End it in order."""
        self.process.stop(STOP_SECONDS)


class Brokers:
    """The cluster, and how clients reach it: directly, or through the proxy's ports."""

    def __init__(self, nodes: Sequence[Node], ports: Sequence[Ports], client: KafkaSettings) -> None:
        self.nodes = nodes
        self.client = client
        """Settings without any topics of ours."""
        self.routes = {each.advertised: each.proxied for each in ports}
        """The proxy's port to that of the node."""
        self.direct = _bootstrap(each.direct for each in ports)
        self.proxied = _bootstrap(each.advertised for each in ports)


@contextmanager
def running_brokers(directory: Path, *, secure: bool) -> Iterator[Brokers]:
    """The cluster for the length of a block, with its data and logs in the directory; raises Unavailable."""
    directory.mkdir(parents=True, exist_ok=True)
    ports = [Ports(*(free_port() for _ in Ports._fields)) for _ in range(NODES)]
    certificate = new_certificate(directory) if secure else None
    command = [program("java"), *JVM_OPTIONS, *JVM, "-cp", f"{resolved_jars()}/*"]
    client = _client(certificate)
    nodes = []
    for number, own in enumerate(ports, 1):
        pairs = [(each.direct, each.controller) for each in ports]
        path = write_properties(directory, number, pairs, _properties(own, certificate))
        format_storage(command, path)
        nodes.append(Node(number, command, path, _at(client, own.direct)))
    brokers = Brokers(nodes, ports, client)
    try:
        for node in nodes:
            node.start()
        for node in nodes:
            node.process.wait_ready(node.is_ready, READY_SECONDS)
        yield brokers
    finally:
        for node in nodes:
            if node.runs:
                node.process.kill()


def _bootstrap(ports: Iterable[int]) -> str:
    return ",".join(f"{LOOPBACK}:{port}" for port in ports)


def _at(client: KafkaSettings, port: int) -> KafkaSettings:
    return msgspec.structs.replace(client, bootstrap=f"{LOOPBACK}:{port}")


def _client(certificate: Path | None) -> KafkaSettings:
    if certificate is None:
        return KafkaSettings()
    return KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        sasl_username=USER,
        sasl_password=Secret(PASSWORD),
        ssl_cafile=certificate,
    )


def _properties(ports: Ports, certificate: Path | None) -> dict[str, object]:
    protocol = "PLAINTEXT" if certificate is None else "SASL_SSL"
    own: dict[str, object] = {
        "listeners": ",".join(
            (
                f"{DIRECT}://{LOOPBACK}:{ports.direct}",
                f"{PROXIED}://{LOOPBACK}:{ports.proxied}",
                f"CONTROLLER://{LOOPBACK}:{ports.controller}",
            )
        ),
        "advertised.listeners": (f"{DIRECT}://{LOOPBACK}:{ports.direct},{PROXIED}://{LOOPBACK}:{ports.advertised}"),
        "listener.security.protocol.map": f"{DIRECT}:{protocol},{PROXIED}:{protocol},CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": DIRECT,
        "min.insync.replicas": 2,
        "transaction.state.log.min.isr": 2,
        "share.coordinator.state.topic.min.isr": 2,
    }
    return own if certificate is None else own | secure_properties([DIRECT, PROXIED], certificate)
