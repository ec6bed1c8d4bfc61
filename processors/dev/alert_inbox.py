"""The demo's own webhook receiver: its notifier sends alerts here, and to Alertmanager if that runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, SimpleQueue
from typing import Any

import msgspec

from config.settings import Settings
from processors.dev.process import LOOPBACK
from processors.notifier.receivers.webhook import WebhookMessage

_message = msgspec.json.Decoder(WebhookMessage)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    """Many messages come at once: one that does not fit in is tried again after a second only."""


class AlertInbox:
    """The alerts received so far."""

    def __init__(self) -> None:
        self.fired = 0
        """Passed deadlines received."""
        self._news: SimpleQueue[WebhookMessage] = SimpleQueue()
        self._server = _Server((LOOPBACK, 0), _handler(self))

    @property
    def url(self) -> str:
        """Where to post messages."""
        return f"http://{LOOPBACK}:{self._server.server_port}/"

    def serve(self) -> None:
        """Receive messages until `stop`."""
        self._server.serve_forever()

    def stop(self) -> None:
        """End `serve`, and give the port back."""
        self._server.shutdown()
        self._server.server_close()

    def add(self, message: WebhookMessage) -> None:
        """Count a message that has come in."""
        if message.state == "fired" and not message.reminder:
            self.fired += 1
            self._news.put(message)

    def drain_fired(self) -> Iterator[WebhookMessage]:
        """Yield the passed deadlines received since the last call."""
        try:
            while True:
                yield self._news.get_nowait()
        except Empty:
            return


@contextmanager
def inbox() -> Iterator[AlertInbox]:
    """An inbox that is open for the length of a block."""
    opened = AlertInbox()
    thread = threading.Thread(target=opened.serve, name="inbox", daemon=True)
    thread.start()
    try:
        yield opened
    finally:
        opened.stop()
        thread.join()


def with_inbox(settings: Settings, url: str, alertmanager_port: int | None) -> Settings:
    """The settings of a notifier that sends to an inbox, and to Alertmanager if it runs here."""
    alertmanagers = () if alertmanager_port is None else (f"http://{LOOPBACK}:{alertmanager_port}",)
    notifier = msgspec.structs.replace(settings.notifier, webhook_url=url, alertmanager_urls=alertmanagers)
    return msgspec.structs.replace(settings, notifier=notifier)


def _handler(taking: AlertInbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Messages of the notifier, which alone knows the address."""

        def do_POST(self) -> None:
            """One message."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                taking.add(_message.decode(body))
            except msgspec.MsgspecError as error:
                self.send_error(400, str(error))
                return
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name of the overridden method
            """The demo's terminal is for people."""

    return Handler
