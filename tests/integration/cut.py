"""A proxy in front of a broker that can be cut: connections stay open, and nothing goes through."""

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 65536


class CutProxy:
    """Forwards to a broker on loopback, which names itself in its answers: there, the proxy's port replaces its own."""

    def __init__(self, port: int) -> None:
        """`port`: the broker's."""
        self.port = 0
        """The proxy's own."""
        self._upstream = port
        self._open = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()

    @property
    def bootstrap(self) -> str:
        """Where a client finds it."""
        return f"{LOOPBACK}:{self.port}"

    def cut(self) -> None:
        """Let nothing through from now on."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def heal(self) -> None:
        """Break the connections of before, and let new ones through."""
        self._loop.call_soon_threadsafe(self._heal)

    def _heal(self) -> None:
        for writer in self._writers:
            writer.close()
        self._open.set()

    def run(self, listening: threading.Event) -> None:
        """Serve until `stop`, in a thread of its own."""
        asyncio.set_event_loop(self._loop)
        self._open.set()
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, LOOPBACK, 0))
        self.port = server.sockets[0].getsockname()[1]
        listening.set()
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    def stop(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            up_reader, up_writer = await asyncio.open_connection(LOOPBACK, self._upstream)
        except OSError:
            writer.close()
            return
        pair = {writer, up_writer}
        self._writers |= pair
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, rename=False), self._pump(up_reader, writer, rename=True)
            )
        finally:
            self._writers -= pair
            for each in pair:
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, rename: bool) -> None:
        old, new = (LOOPBACK.encode() + struct.pack(">i", port) for port in (self._upstream, self.port))
        held = b""
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._open.wait()
                if rename:
                    data = (held + data).replace(old, new)
                    held = _beginning(data, old)
                    data = data.removesuffix(held)
                writer.write(data)
                await writer.drain()
        writer.close()


def _beginning(data: bytes, name: bytes) -> bytes:
    """The end of the data that may be the beginning of a name."""
    return next((name[:size] for size in range(len(name) - 1, 0, -1) if data.endswith(name[:size])), b"")


@contextmanager
def cut_proxy(bootstrap: str) -> Iterator[CutProxy]:
    """A proxy for the length of a block."""
    proxy, listening = CutProxy(int(bootstrap.rpartition(":")[2])), threading.Event()
    thread = threading.Thread(target=proxy.run, args=(listening,), daemon=True)
    thread.start()
    if not listening.wait(20):
        raise TimeoutError("the proxy does not listen")
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(20)
