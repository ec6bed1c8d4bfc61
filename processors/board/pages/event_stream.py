"""Server-sent events to one open page."""

import time

from aiohttp import web

from processors.board.pages.fragments import Fragment

HEARTBEAT_SECONDS = 15.0


class EventStream:
    """Remembers what the page shows, so that only changes are sent. `shown`: tag of the fragment it shows, or ""."""

    def __init__(self, response: web.StreamResponse, shown: str) -> None:
        self._response = response
        self._shown = shown
        self._sent: Fragment | None = None
        self._version: str | None = None
        self._written_at = 0.0

    async def version(self, version: str) -> None:
        """Send the version of the pages, if it is news to the page."""
        if version != self._version:
            self._version = version
            await self._write(f"event: version\ndata: {version}\n\n".encode())

    async def show(self, fragment: Fragment) -> None:
        """Send the whole view at first, then changes."""
        if fragment.tag != self._shown:
            await self._write(fragment.whole() if self._sent is None else fragment.since(self._sent))
        self._shown, self._sent = fragment.tag, fragment

    async def notice(self, fragment: Fragment) -> None:
        """Replace some parts of the page, whatever else it shows."""
        if fragment.tag != self._shown:
            await self._write(fragment.alone())
        self._shown = fragment.tag

    async def keep_alive(self) -> None:
        """Send a comment after a long silence: proxies close idle connections."""
        if time.monotonic() - self._written_at > HEARTBEAT_SECONDS:
            await self._write(b": still here\n\n")

    async def _write(self, raw: bytes) -> None:
        await self._response.write(raw)
        self._written_at = time.monotonic()
