"""A board that runs on a real Redis, and a worker's side to fill it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from config.clock import Clock
from config.settings import ClockSettings, RedisSettings, Settings
from processors.board.app import ACKNOWLEDGEMENTS, EXPOSITION, FOLLOWER, STORE, build_board
from processors.read_model.writer import ReadModelWriter
from schemas.events import RepUpdated
from schemas.policy import DEFAULT_POLICY
from schemas.views import (
    Changes,
    OpenOpportunities,
    OpenRequest,
    Partial,
    Section,
    Segment,
    partial_field,
    pooled_subject,
)
from tests.board.scene import HOUR_US, NOW_US, TODAY
from tests.read_model.followed_view import PREFIX, connection, until

ONE, TWO = "crm.events/0", "crm.events/1"
HOSTILE_ID = "a/b <script>?&%"


class Served:
    """A running board and the worker that writes to it."""

    def __init__(self, client: Any, model: ReadModelWriter, app: web.Application, walls: list[int]) -> None:
        self.client = client
        self.model = model
        self.store = app[STORE]
        self.acknowledgements = app[ACKNOWLEDGEMENTS]
        self.follower = app[FOLLOWER]
        self.exposition = app[EXPOSITION]
        self.walls = walls
        """What the wall's clock shows, to be moved."""

    async def json(self, path: str, status: int = 200) -> Any:
        """The body of an answer."""
        async with self.client.get(path) as response:
            assert response.status == status, await response.text()
            return await response.json(content_type=None)

    async def text(self, path: str) -> str:
        async with self.client.get(path) as response:
            assert response.status == 200
            return str(await response.text())

    async def publish(self, partition: str, **sections: Mapping[str, object]) -> None:
        """A whole read model of a partition, and wait until the board has it."""
        puts: dict[Section, dict[str, bytes]] = {}
        for section, fields in sections.items():
            puts[section] = {name: msgspec.msgpack.encode(value) for name, value in fields.items()}  # type: ignore[index]
        offset = (await self.model.fence(partition) or (0, ""))[0] + 1
        await self.model.publish(partition, offset, Changes(puts, {}), whole=True, stream_us=NOW_US - HOUR_US)
        await until(lambda: partition in self.store.partitions and self.store.partitions[partition].offset == offset)


def served(redis_url: str) -> AbstractAsyncContextManager[Served]:
    """A board with nothing in it, and without Kafka."""
    return served_by(Settings(redis=RedisSettings(url=redis_url, prefix=PREFIX)))


@asynccontextmanager
async def served_by(settings: Settings) -> AsyncIterator[Served]:
    """A board with nothing in it."""
    walls = [NOW_US]
    clock = Clock(ClockSettings(), lambda: walls[0])
    app = build_board(settings, clock, DEFAULT_POLICY)
    model = ReadModelWriter(connection(settings.redis.url), settings.redis.prefix)
    async with TestClient(TestServer(app)) as client:
        status = app[FOLLOWER].status
        await until(lambda: status.loaded or status.down_since_us is not None)
        try:
            yield Served(client, model, app, walls)
        finally:
            await model.close()


async def furnish(board: Served) -> None:
    """Three reps in two teams: ann (east) and bob (east) with numbers, a hostile one (west) with a long wait."""
    reps = [("ann", "Ann", "east"), ("bob", "Bob", "east"), (HOSTILE_ID, "<b>", "west")]
    await board.model.put_reps([(RepUpdated(rep_id=rep, name=name, team=team), 1) for rep, name, team in reps])
    day = Partial(
        activities={"call": 2},
        responses=2,
        customers_answered=2,
        response_us=9_000_000,
        opportunities_created=20,
        created_won=10,
        won=10,
        lost=10,
        won_cents=12_345,
        answered_within={"1h": 2},
        stages={"default": {"demo": [20, 20, 10]}},
    )
    less = Partial(responses=1, customers_answered=1, won=1, lost=29, stages={"default": {"demo": [30, 30, 3]}})
    await board.publish(
        ONE,
        partials={
            partial_field("rep", "ann", TODAY): day,
            partial_field("rep", "bob", TODAY - 8): less,
            partial_field("team", pooled_subject("east", "UTC"), TODAY): Partial(customers_answered=2),
            partial_field("company", pooled_subject("", "UTC"), TODAY): Partial(customers_answered=2),
        },
        open={f"c|{n}": waiting(f"r{n}", "ann", 10 * n) for n in (1, 2, 12)},
        standing={"ann": OpenOpportunities({"default": {"demo": 3}})},
        segments={"smb": Segment(2, 1000, 1), "none": Segment(0, 0, 0)},
        quality={str(TODAY): {"duplicate": 4}},
        examples={"duplicate": "customer 'c1' & co."},
    )
    await board.publish(TWO, open={"d|9": waiting("r9", HOSTILE_ID, 60 * 30)})
    await until(lambda: len(board.store.reps.ids()) == 3 and board.exposition.is_complete)


def waiting(request_id: str, rep_id: str, minutes: int) -> OpenRequest:
    """A request that has waited for some minutes."""
    opened_us = NOW_US - minutes * 60_000_000
    due = {"1h": opened_us + HOUR_US, "24h": opened_us + 24 * HOUR_US}
    return OpenRequest(request_id, 1, f"c-{request_id}", rep_id, "email", "normal", opened_us, due)
