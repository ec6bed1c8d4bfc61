"""A webhook receiver with moods: it takes messages, refuses them, is slow, or never answers."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, assert_never

from processors.dev.process import LOOPBACK

Mood = Literal["takes", "fails", "slow", "hangs", "hangs up"]

SLOW_SECONDS = 0.4
HANG_SECONDS = 5.0
"""Longer than the notifier waits for an answer."""


class Letter(NamedTuple):
    """A message that the receiver has accepted."""

    at: float
    """Seconds since 1970."""
    body: dict[str, Any]


class Receiver:
    """What was accepted, in order; `mood` decides what becomes of the next message."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.mood: Mood = "takes"
        self.letters: list[Letter] = []
        self.refused = 0


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _Handler)
        self.receiver = Receiver(f"http://{LOOPBACK}:{self.server_port}/hook")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        receiver = self.server.receiver
        if self._accepts(receiver.mood):
            receiver.letters.append(Letter(time.time(), body))
            self._answer(200)
        else:
            receiver.refused += 1

    def _accepts(self, mood: Mood) -> bool:
        """Whether a message is to be taken; if not, it was answered, or the connection ends."""
        match mood:
            case "takes":
                return True
            case "slow":
                time.sleep(SLOW_SECONDS)
                return True
            case "fails":
                self._answer(503)
            case "hangs":
                time.sleep(HANG_SECONDS)
                self.close_connection = True
            case "hangs up":
                self.close_connection = True
            case _:
                assert_never(mood)
        return False

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self) -> None:
        with suppress(ConnectionError):  # the notifier was killed, or does not wait any longer
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the overridden method
        """Write nothing."""


@contextmanager
def running_receiver() -> Iterator[Receiver]:
    """A receiver for the length of a block."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, name="receiver", daemon=True)
    thread.start()
    try:
        yield server.receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
