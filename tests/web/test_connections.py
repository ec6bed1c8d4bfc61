"""Whoever does not send, does not read, or opens too much, is closed; everybody else is served meanwhile."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from processors.web.connections import ConnectionGuard, ConnectionLimits, GuardedSite, never_exempt

LIMITS = ConnectionLimits(
    connections=20, connections_per_address=10, head_seconds=0.4, idle_seconds=1.0, write_seconds=0.4
)
LARGE = 64 * 1024 * 1024
"""More than the system buffers between two sockets."""
GET = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
DEADLINE_SECONDS = 20.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def small(_request: web.Request) -> web.Response:
    return web.Response(text="small")


async def large(_request: web.Request) -> web.Response:
    return web.Response(body=bytes(LARGE))


async def streamed(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(LARGE // 65536):
        await response.write(bytes(65536))
    return response


@asynccontextmanager
async def serving(
    limits: ConnectionLimits = LIMITS, is_exempt: Callable[[str], bool] = never_exempt
) -> AsyncIterator[int]:
    """A server's port."""
    app = web.Application()
    app.router.add_get("/small", small)
    app.router.add_get("/large", large)
    app.router.add_get("/streamed", streamed)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await GuardedSite(runner, "127.0.0.1", 0, ConnectionGuard(limits, is_exempt)).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def on_server(scene: Callable[[int], Awaitable[None]], limits: ConnectionLimits = LIMITS) -> None:
    async def run() -> None:
        async with serving(limits) as port, asyncio.timeout(DEADLINE_SECONDS):
            await scene(port)

    asyncio.run(run())


async def connect(port: int, sent: bytes = b"") -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(sent)
    return reader, writer


async def is_served(port: int) -> bool:
    reader, writer = await connect(port, GET % b"/small")
    try:
        return (await reader.readline()).startswith(b"HTTP/1.1 200")
    except ConnectionError:
        return False
    finally:
        writer.close()


async def closed(reader: asyncio.StreamReader) -> None:
    """Return when the server has ended the connection."""
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        return


@pytest.mark.parametrize("sent", [b"", b"GET /small HTTP/1.1\r\n", b"GET /small HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_head_that_does_not_end_is_not_waited_for(sent: bytes) -> None:
    async def scene(port: int) -> None:
        reader, writer = await connect(port, sent)
        await closed(reader)
        writer.close()

    on_server(scene)


def test_a_head_that_trickles_in_is_not_waited_for() -> None:
    async def scene(port: int) -> None:
        reader, writer = await connect(port, GET % b"/small")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        ended = asyncio.create_task(closed(reader))
        began = time.monotonic()
        while not ended.done():
            writer.write(b"G" if time.monotonic() == began else b"E")
            await asyncio.wait([ended], timeout=0.05)
        assert time.monotonic() - began < DEADLINE_SECONDS / 2

    on_server(scene)


def test_between_two_requests_a_connection_may_rest_for_longer_than_a_head_may_take() -> None:
    async def scene(port: int) -> None:
        reader, writer = await connect(port, GET % b"/small")
        await reader.readuntil(b"small")
        began = time.monotonic()
        await closed(reader)
        assert time.monotonic() - began > LIMITS.idle_seconds * 0.9
        writer.close()

    on_server(scene)


@pytest.mark.parametrize("path", [b"/large", b"/streamed"])
def test_an_answer_that_nobody_reads_is_given_up_and_the_others_are_served(path: bytes) -> None:
    async def scene(port: int) -> None:
        stalled = [await stall(port, GET % path) for _ in range(4)]
        assert await is_served(port)
        for connection in stalled:
            assert await asyncio.to_thread(received, connection) < LARGE

    on_server(scene)


async def stall(port: int, sent: bytes) -> socket.socket:
    """A connection that reads nothing until its server has given it up."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
    connection.sendall(sent)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + DEADLINE_SECONDS
    while not reset(connection):
        assert loop.time() < deadline, "the server waits for ever"
        await asyncio.sleep(0.02)
    return connection


def reset(connection: socket.socket) -> bool:
    """Whether the other side has ended the connection, without reading from it."""
    return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1  # TCP_ESTABLISHED


def received(connection: socket.socket) -> int:
    count = 0
    try:
        while raw := connection.recv(1 << 20):
            count += len(raw)
    except ConnectionError:
        return count
    finally:
        connection.close()
    return count


def test_a_slow_reader_gets_everything() -> None:
    async def scene(port: int) -> None:
        reader, writer = await connect(port, GET % b"/streamed")
        count, began = 0, time.monotonic()
        while raw := await reader.read(1 << 20):
            count += len(raw)
            if time.monotonic() - began < LIMITS.write_seconds * 3:
                await asyncio.sleep(0.01)
            if count > LARGE:
                break
        assert count > LARGE
        assert time.monotonic() - began > LIMITS.write_seconds * 2
        writer.close()

    on_server(scene)


def test_one_address_has_so_many_connections_and_no_more_until_some_are_closed() -> None:
    patient = LIMITS._replace(head_seconds=DEADLINE_SECONDS, idle_seconds=DEADLINE_SECONDS)

    async def scene(port: int) -> None:
        held = [await connect(port) for _ in range(LIMITS.connections_per_address)]
        assert not await is_served(port)
        held.pop()[1].close()
        while not await is_served(port):
            await asyncio.sleep(0.02)
        for _, writer in held:
            writer.close()

    on_server(scene, patient)


@pytest.mark.parametrize(("count", "served"), [(LIMITS.connections_per_address + 5, True), (LIMITS.connections, False)])
def test_a_proxy_has_more_and_all_together_have_a_limit(count: int, served: bool) -> None:
    patient = LIMITS._replace(head_seconds=DEADLINE_SECONDS, idle_seconds=DEADLINE_SECONDS)

    async def run() -> None:
        async with serving(patient, lambda address: address == "127.0.0.1") as port, asyncio.timeout(DEADLINE_SECONDS):
            held = [await connect(port) for _ in range(count)]
            assert await is_served(port) is served
            for _, writer in held:
                writer.close()

    asyncio.run(run())
