"""Where the demo's notifier tells alerts, beside Alertmanager if that runs: a webhook in the demo's own process."""

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


class Inbox:
    """What the notifier has told so far."""

    def __init__(self) -> None:
        self.fired = 0
        """How many deadlines it told of."""
        self._news: SimpleQueue[WebhookMessage] = SimpleQueue()
        self._server = _Server((LOOPBACK, 0), _handler(self))

    @property
    def url(self) -> str:
        """Where to post messages."""
        return f"http://{LOOPBACK}:{self._server.server_port}/"

    def serve(self) -> None:
        """Take messages until `stop`."""
        self._server.serve_forever()

    def stop(self) -> None:
        """End `serve`, and give the port back."""
        self._server.shutdown()
        self._server.server_close()

    def take(self, message: WebhookMessage) -> None:
        """One message has come in."""
        if message.state == "fired" and not message.reminder:
            self.fired += 1
            self._news.put(message)

    def news(self) -> Iterator[WebhookMessage]:
        """The deadlines that were told since the last call."""
        try:
            while True:
                yield self._news.get_nowait()
        except Empty:
            return


@contextmanager
def inbox() -> Iterator[Inbox]:
    """An inbox that is open for the length of a block."""
    opened = Inbox()
    thread = threading.Thread(target=opened.serve, name="inbox", daemon=True)
    thread.start()
    try:
        yield opened
    finally:
        opened.stop()
        thread.join()


def told_here(settings: Settings, url: str, alertmanager_port: int | None) -> Settings:
    """The settings of a notifier that tells an inbox, and Alertmanager if it runs here."""
    alertmanagers = () if alertmanager_port is None else (f"http://{LOOPBACK}:{alertmanager_port}",)
    notifier = msgspec.structs.replace(settings.notifier, webhook_url=url, alertmanager_urls=alertmanagers)
    return msgspec.structs.replace(settings, notifier=notifier)


def _handler(taking: Inbox) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Messages of the notifier, which alone knows the address."""

        def do_POST(self) -> None:
            """One message."""
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                taking.take(_message.decode(body))
            except msgspec.MsgspecError as error:
                self.send_error(400, str(error))
                return
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the name of the overridden method
            """The demo's terminal is for people."""

    return Handler
