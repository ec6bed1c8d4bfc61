"""A receiver of webhooks in a thread, which keeps all that is posted."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from processors.dev.process import LOOPBACK


class Letter(NamedTuple):
    """One message."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Postbox:
    """All letters that came in, in their order."""

    def __init__(self, url: str) -> None:
        self.url = url
        """Without a path: each one that is appended keeps its letters apart."""
        self.letters: list[Letter] = []

    def at(self, path: str) -> list[dict[str, Any]]:
        """The messages that were posted to a path."""
        return [letter.body for letter in self.letters if letter.path == path]


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """Many come at once: who does not fit in tries again after a second only."""


@contextmanager
def postbox() -> Iterator[Postbox]:
    """A postbox that is open for the length of a block."""
    server = _Server((LOOPBACK, 0), BaseHTTPRequestHandler)
    box = Postbox(f"http://{LOOPBACK}:{server.server_port}")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            box.letters.append(Letter(self.path, dict(self.headers), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the overridden method
            """Say nothing."""

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield box
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
