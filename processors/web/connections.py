"""Connections of a web server, with a deadline for every request head and every write, and a limit for each address.

aiohttp itself closes connections that are idle for `idle_seconds`. It does not notice request heads that trickle in and
responses that the client does not read: a sweep closes those once a second.
"""

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import web

SWEEP_SECONDS = 1.0
PROGRESS_BYTES = 64 * 1024
"""A client that has read this many bytes is slow, not stalled."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: close with a reset and discard unsent data."""


class ConnectionLimits(NamedTuple):
    """The limits of a server."""

    connections: int = 900
    """At a time: below the 1024 files that a process may open by default."""
    connections_per_address: int = 200
    head_seconds: float = 10.0
    """From accepting the connection, or a request's first byte, to the end of the request's head."""
    idle_seconds: float = 75.0
    """Between two requests."""
    write_seconds: float = 30.0
    """In which the client must read PROGRESS_BYTES, or all that is left."""


class ConnectionGuard:
    """Counts and limits the connections of one server."""

    def __init__(self, limits: ConnectionLimits, is_exempt: Callable[[str], bool]) -> None:
        """`is_exempt`: whether an address may open any number of connections, such as a proxy."""
        self.limits = limits
        self._is_exempt = is_exempt
        self._open: set[GuardedConnection] = set()
        self._by_address: Counter[str] = Counter()

    def admit(self, connection: "GuardedConnection") -> bool:
        """Whether the connection may stay; it then counts until `forget`."""
        address = connection.address
        full = len(self._open) >= self.limits.connections
        if full or (self._by_address[address] >= self.limits.connections_per_address and not self._is_exempt(address)):
            return False
        self._open.add(connection)
        self._by_address[address] += 1
        return True

    def forget(self, connection: "GuardedConnection") -> None:
        """Stop counting a closed connection."""
        if connection in self._open:
            self._open.remove(connection)
            self._by_address[connection.address] -= 1
            self._by_address += Counter()  # drops addresses without connections

    async def sweep(self) -> None:
        """Close stalled connections, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(SWEEP_SECONDS, self.limits.head_seconds, self.limits.write_seconds))
            now = loop.time()
            for connection in [one for one in self._open if one.is_stalled(now)]:
                connection.abort()


class GuardedConnection(web.RequestHandler):
    """A connection that a `ConnectionGuard` counts and closes."""

    __slots__ = ("_guard", "_head_since", "_progress_at", "_unsent", "_wire", "address")

    def __init__(self, guard: ConnectionGuard, server: web.Server, **options: Any) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, keepalive_timeout=guard.limits.idle_seconds, **options)
        self._guard = guard
        self._wire: asyncio.Transport | None = None
        self._head_since: float | None = loop.time()
        self._progress_at = loop.time()
        self._unsent = 0
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start, if the guard admits it."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"{transport!r} is no stream")
        self._wire = transport
        self.address = _address_of(transport)
        if not self._guard.admit(self):
            transport.abort()
            return
        _set_user_timeout(transport, 2 * self._guard.limits.write_seconds)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let the guard forget it."""
        self._guard.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Note when a request head begins and when it is complete."""
        super().data_received(data)
        waits = self._waiter is not None and not self._waiter.done()
        if not waits:
            self._head_since = None
        elif data and self._head_since is None:
            self._head_since = self._loop.time()

    def resume_writing(self) -> None:
        """Note that the client has read most of the buffer."""
        self._progress_at = self._loop.time()
        super().resume_writing()

    def is_stalled(self, now: float) -> bool:
        """Whether the client has stalled. Call it about once a second: it measures progress between calls."""
        limits = self._guard.limits
        if self._head_since is not None and now - self._head_since > limits.head_seconds:
            return True
        unsent = 0 if self._wire is None else self._wire.get_write_buffer_size()
        if unsent == 0 or unsent <= self._unsent - PROGRESS_BYTES:
            self._progress_at, self._unsent = now, unsent
        self._unsent = max(self._unsent, unsent)
        return now - self._progress_at > limits.write_seconds

    def abort(self) -> None:
        """Close at once and discard unsent data, also in the kernel."""
        if self._wire is None:
            return
        wire = self._wire.get_extra_info("socket")
        if wire is not None:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._wire.abort()


class GuardedSite(web.TCPSite):
    """A port with guarded connections."""

    __slots__ = ("_connection", "_guard", "_sweeping")

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        guard: ConnectionGuard,
        connection: type[GuardedConnection] = GuardedConnection,
    ) -> None:
        super().__init__(runner, host, port)
        self._guard = guard
        self._connection = connection
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; raises OSError."""
        await web.BaseSite.start(self)
        server, loop = self._runner.server, asyncio.get_running_loop()
        if server is None:
            raise RuntimeError("the runner is to be set up first")

        def connection() -> GuardedConnection:
            return self._connection(self._guard, server, access_log=None)

        self._server = await loop.create_server(connection, self._host, self._port, backlog=self._backlog)
        self._sweeping = asyncio.create_task(self._guard.sweep())

    async def stop(self) -> None:
        """Stop listening."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await super().stop()


def never_exempt(_address: str) -> bool:
    """No address is exempt."""
    return False


def _address_of(transport: asyncio.Transport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""


def _set_user_timeout(transport: asyncio.Transport, seconds: float) -> None:
    """Let the kernel drop a peer that acknowledges nothing for this long, where it can."""
    wire = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None and wire is not None and wire.family in (socket.AF_INET, socket.AF_INET6):
        wire.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))
