"""A view that holds plain bytes, and what the read model's tests share."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from itertools import repeat

from config.settings import RedisSettings
from processors.read_model.follower import Follower
from processors.read_model.redis_connection import RedisConnection, connect
from processors.read_model.writer import ReadModelWriter
from schemas.views import SECTIONS, Changes, Section

PREFIX = "t"
DEADLINE_SECONDS = 20.0


class FollowedView:
    """Every field with its last value."""

    def __init__(self) -> None:
        self.state: dict[tuple[str, Section], dict[str, bytes]] = {}
        self.reps: dict[str, bytes] = {}
        self.offsets: dict[str, tuple[int, int]] = {}

    def put(self, partition: str, section: Section, field: str, raw: bytes | None) -> None:
        fields = self.state.setdefault((partition, section), {})
        if raw is None:
            fields.pop(field, None)
        else:
            fields[field] = raw

    def put_rep(self, rep_id: str, raw: bytes | None) -> None:
        if raw is None:
            self.reps.pop(rep_id, None)
        else:
            self.reps[rep_id] = raw

    def published(self, partition: str, offset: int, stream_us: int) -> None:
        self.offsets[partition] = (offset, stream_us)

    def fields(self, partition: str, section: Section) -> Iterable[str]:
        return list(self.state.get((partition, section), {}))

    def rep_ids(self) -> Iterable[str]:
        return self.reps

    def drop(self, partition: str) -> None:
        self.offsets.pop(partition, None)
        for section in SECTIONS:
            self.state.pop((partition, section), None)

    def holds(self, partition: str, section: Section = "partials") -> dict[str, bytes]:
        return self.state.get((partition, section), {})


def changes(
    puts: dict[Section, dict[str, bytes]] | None = None, deletes: dict[Section, list[str]] | None = None
) -> Changes:
    return Changes(puts or {}, deletes or {})


def partials(**fields: str) -> Changes:
    """Changed fields of the first section."""
    return changes({"partials": {name: value.encode() for name, value in fields.items()}})


def connection(url: str) -> RedisConnection:
    return connect(RedisSettings(url=url))


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[ReadModelWriter]:
    model = ReadModelWriter(connection(url), PREFIX)
    try:
        yield model
    finally:
        await model.close()


@asynccontextmanager
async def following(
    reader: RedisConnection, view: FollowedView, wall_us: Callable[[], int] = lambda: 77
) -> AsyncIterator[Follower]:
    """A follower that runs, and stops at the end."""
    follower = Follower(reader, PREFIX, view, wall_us)
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await reader.close()


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; fails at the deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        for pause in repeat(0.005):
            if condition():
                return
            await asyncio.sleep(pause)
