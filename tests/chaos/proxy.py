"""A TCP proxy that can be cut: between a worker and Kafka, or a worker and Redis."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, Literal, Self

from processors.dev.process import LOOPBACK

Cut = Literal["silent", "refused"]
"""`silent`: bytes stop and connections stay, as when packets are dropped. `refused`: connections end, new ones, too."""

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Forwards connections from ports to ports of loopback, in a thread of its own, until the block ends."""

    def __init__(self, routes: Mapping[int, int]) -> None:
        """`routes`: the port that it listens on to the port that it forwards to."""
        self._routes = routes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._servers: list[asyncio.Server] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self, how: Cut) -> None:
        """Cut all connections, and those to come, until `heal`."""
        self._call(self._cut(how))

    def heal(self) -> None:
        """Forward again; what waited in silent connections goes on."""
        self._call(self._heal())

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *error: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _cut(self, how: Cut) -> None:
        if how == "silent":
            self._flows.clear()
        else:
            self._refuses = True
            self._abort()

    async def _heal(self) -> None:
        self._refuses = False
        self._flows.set()

    async def _listen(self) -> None:
        for port, target in self._routes.items():
            server = await asyncio.start_server(self._serving(target), LOOPBACK, port)
            self._servers.append(server)

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        self._abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _serving(self, target: int) -> "Any":
        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(reader, writer, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return serve

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        with self._tracked(writer), suppress(OSError):
            await self._flows.wait()
            beyond_reader, beyond_writer = await asyncio.open_connection(LOOPBACK, target)
            with self._tracked(beyond_writer):
                there = asyncio.create_task(self._pump(reader, beyond_writer))
                back = asyncio.create_task(self._pump(beyond_reader, writer))
                try:
                    await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    there.cancel()
                    back.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()

    def _tracked(self, writer: asyncio.StreamWriter) -> "_Tracked":
        return _Tracked(self._writers, writer)


class _Tracked:
    """A connection among the open ones, for the length of a block; it is closed at the end."""

    def __init__(self, writers: set[asyncio.StreamWriter], writer: asyncio.StreamWriter) -> None:
        self._writers = writers
        self._writer = writer

    def __enter__(self) -> None:
        self._writers.add(self._writer)

    def __exit__(self, *error: object) -> None:
        self._writers.discard(self._writer)
        self._writer.close()
