"""The proxy forwards, falls silent, refuses, and heals."""

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from processors.dev.process import LOOPBACK, free_port
from tests.chaos.proxy import Proxy

SILENCE_SECONDS = 0.5
ANSWER_SECONDS = 10.0


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1024):
            self.request.sendall(data)


@pytest.fixture
def echo_port() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    with socketserver.ThreadingTCPServer((LOOPBACK, 0), _Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def proxy(port: int, echo_port: int) -> Iterator[Proxy]:
    with Proxy({port: echo_port}) as running:
        yield running


def connected(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), ANSWER_SECONDS)


def echoed(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return connection.recv(1024)


def test_bytes_go_through_and_come_back(proxy: Proxy, port: int) -> None:
    with connected(port) as connection:
        assert echoed(connection, b"one") == b"one"


def test_a_silent_connection_stays_and_goes_on_when_it_is_healed(proxy: Proxy, port: int) -> None:
    with connected(port) as connection:
        assert echoed(connection, b"one") == b"one"
        proxy.cut("silent")
        connection.settimeout(SILENCE_SECONDS)
        with pytest.raises(TimeoutError):
            echoed(connection, b"two")
        proxy.heal()
        connection.settimeout(ANSWER_SECONDS)
        assert connection.recv(1024) == b"two"


def test_new_connections_are_silent_too(proxy: Proxy, port: int) -> None:
    proxy.cut("silent")
    with connected(port) as connection:
        connection.settimeout(SILENCE_SECONDS)
        with pytest.raises(TimeoutError):
            echoed(connection, b"one")


def test_refused_ends_connections_and_new_ones_until_it_is_healed(proxy: Proxy, port: int) -> None:
    with connected(port) as connection:
        assert echoed(connection, b"one") == b"one"
        proxy.cut("refused")
        assert is_over(connection)
        with connected(port) as another:
            assert is_over(another)
    proxy.heal()
    with connected(port) as connection:
        assert echoed(connection, b"two") == b"two"


def is_over(connection: socket.socket) -> bool:
    try:
        return connection.recv(1024) == b""
    except ConnectionError:
        return True
