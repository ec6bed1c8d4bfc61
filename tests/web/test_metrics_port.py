"""The port for metrics answers whatever others do to it."""

import gzip
import socket
import time
from contextlib import ExitStack, suppress
from http.client import HTTPConnection

import pytest
from prometheus_client import CollectorRegistry, Counter

from processors.web.metrics_port import LIMITS, serve_metrics
from schemas.errors import Unavailable


def registry() -> CollectorRegistry:
    result = CollectorRegistry()
    Counter("things", "Things.", registry=result).inc(3)
    return result


def scrape(port: int, path: str = "/metrics", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_it_serves_the_registry_in_the_format_that_is_asked_for() -> None:
    with serve_metrics(registry(), "127.0.0.1", 0, "worker.metrics_port") as server:
        port = server.address[1]
        status, headers, body = scrape(port)
        assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert b"things_total 3.0" in body
        _, headers, body = scrape(port, Accept="application/openmetrics-text; version=1.0.0")
        assert headers["Content-Type"].startswith("application/openmetrics-text")
        assert body.endswith(b"# EOF\n")
        _, headers, body = scrape(port, Accept_Encoding="gzip")
        assert b"things_total 3.0" in gzip.decompress(body)
        assert scrape(port, "/nothing")[0] == 404
    with pytest.raises(OSError, match=r"refused|reset"):
        scrape(port)


def test_connections_that_send_nothing_lock_nobody_out() -> None:
    limits = LIMITS._replace(connections=8, connections_per_address=8, head_seconds=0.3)
    with serve_metrics(registry(), "127.0.0.1", 0, "worker.metrics_port", limits) as server, ExitStack() as held:
        port = server.address[1]
        for _ in range(limits.connections * 2):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            with suppress(ConnectionError):
                connection.sendall(b"GET /metrics HTTP/1.1\r\n")
        wait_closed(connection)
        deadline = time.monotonic() + 20
        while not is_served(port):
            assert time.monotonic() < deadline, "they are kept for ever"
            time.sleep(0.02)


def is_served(port: int) -> bool:
    try:
        return scrape(port)[0] == 200
    except ConnectionError:
        return False


def wait_closed(connection: socket.socket) -> None:
    """Return when the server has closed a connection; TimeoutError if it does not."""
    try:
        assert connection.recv(1) == b""
    except ConnectionError:
        return


def test_a_taken_port_is_reported_with_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(Unavailable, match=rf"^notifier\.metrics_port: 127\.0\.0\.1:{port} cannot be used"),
            serve_metrics(registry(), "127.0.0.1", port, "notifier.metrics_port"),
        ):
            raise AssertionError("it was not to start")
