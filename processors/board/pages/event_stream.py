"""One open page: what it was sent, so that it is sent nothing that it has."""

import time

from aiohttp import web

from processors.board.pages.fragments import Fragment

HEARTBEAT_SECONDS = 15.0


class Reader:
    """Writes events to a page that shows the state with the tag `shown` ("": none that it can name)."""

    def __init__(self, response: web.StreamResponse, shown: str) -> None:
        self._response = response
        self._shown = shown
        self._sent: Fragment | None = None
        self._version: str | None = None
        self._spoken = 0.0

    async def version(self, version: str) -> None:
        """Of which version the pages are: said once."""
        if version != self._version:
            self._version = version
            await self._write(f"event: version\ndata: {version}\n\n".encode())

    async def show(self, fragment: Fragment) -> None:
        """The whole view at first, then what is new."""
        if fragment.tag != self._shown:
            await self._write(fragment.whole() if self._sent is None else fragment.since(self._sent))
        self._shown, self._sent = fragment.tag, fragment

    async def notice(self, fragment: Fragment) -> None:
        """Parts that replace those on the page, whatever else it shows."""
        if fragment.tag != self._shown:
            await self._write(fragment.alone())
        self._shown = fragment.tag

    async def keep(self) -> None:
        """Say something after a long silence: proxies close what is silent."""
        if time.monotonic() - self._spoken > HEARTBEAT_SECONDS:
            await self._write(b": still here\n\n")

    async def _write(self, raw: bytes) -> None:
        await self._response.write(raw)
        self._spoken = time.monotonic()
