"""`/api/v1`: the live numbers as JSON. Instants are RFC 3339, durations seconds, money text with two decimal places."""

import asyncio
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from aiohttp import web

from processors.board.answers import answer, page
from processors.board.pools import Pools
from processors.board.problems import Problem
from processors.board.queries import Query, place
from processors.board.store import Store
from processors.core.comparison import comparisons
from processors.core.instants import SECOND_US, rfc3339
from processors.core.numbers import Numbers, numbers_of, segment_of
from processors.core.windows import WINDOWS
from schemas.views import OpenRequest, Partial

REPS_AT_ONCE = 25
"""So many reps' numbers are made before the event loop gets its turn."""
LONGEST_WAIT_SECONDS = 10**9


class Wait(NamedTuple):
    """The place of a request in the order."""

    opened_us: int
    customer_id: str
    request_id: str


class Api:
    """The handlers."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pools = Pools(store)
        self._levels = store.ages.levels
        self._pipelines = store.policy.pipelines

    def routes(self) -> list[web.RouteDef]:
        """Where the handlers are."""
        return [
            web.get("/api/v1/reps", self.reps),
            web.get(r"/api/v1/reps/{rep_id:[\s\S]+}", self.rep),
            web.get("/api/v1/requests", self.requests),
            web.get("/api/v1/teams", self.teams),
            web.get("/api/v1/segments", self.segments),
            web.get("/api/v1/quality", self.quality),
        ]

    async def reps(self, request: web.Request) -> web.Response:
        """Reps by id with their numbers; filters: team, window."""
        query = Query(request.query, ("team", "window", "limit", "after"))
        windows, limit, after = self._windows(query), query.limit(), query.after(str)
        team = query.word("team")
        ids = sorted(self._store.known_reps()) if team is None else self._pools.members(team)
        first = 0 if after is None else bisect_right(ids, after)
        items = []
        for count, rep_id in enumerate(ids[first : first + limit], 1):
            items.append(self._rep(rep_id) | {"windows": self._numbers(self._store.sums(rep_id), windows)})
            if count % REPS_AT_ONCE == 0:
                await asyncio.sleep(0)
        more = first + limit < len(ids)
        body = page(request, items, len(ids), place(ids[first + limit - 1]) if more else None)
        return answer(request, self._about() | body, body)

    async def rep(self, request: web.Request) -> web.Response:
        """One rep, beside the others of its team (S25)."""
        windows = self._windows(Query(request.query, ("window",)))
        rep_id = request.match_info["rep_id"]
        if not self._store.knows(rep_id):
            raise Problem(HTTPStatus.NOT_FOUND, f"no rep is called {rep_id!r}")
        mates = [mate for mate in self._pools.members(self._store.reps.team(rep_id)) if mate != rep_id]
        others = await self._pools.pooled(mates)
        mine = self._store.sums(rep_id)
        compared = {
            window: comparisons(part, rest, self._pipelines)
            for window, part, rest in zip(WINDOWS, mine, others, strict=True)
            if window in windows
        }
        body = self._rep(rep_id) | {"windows": self._numbers(mine, windows), "comparison": compared}
        return answer(request, self._about() | body, body)

    async def requests(self, request: web.Request) -> web.Response:
        """Who waits, the longest wait first; filters: min_age (seconds), rep, team, level (passed)."""
        query = Query(request.query, ("state", "min_age", "rep", "team", "level", "limit", "after"))
        query.choice("state", ("open",))
        limit, after, now_us = query.limit(), query.after(Wait), self._store.now_us()
        found = list(self._matching(query, now_us))
        first = 0 if after is None else bisect_right(found, after, key=_place)
        shown = found[first : first + limit]
        more = place(_place(shown[-1])) if first + limit < len(found) else None
        lasting = page(request, [self._waiting(one, now_us) for one in shown], len(found), more)
        items = [
            self._waiting(one, now_us) | {"waiting_seconds": (now_us - one.opened_us) / SECOND_US} for one in shown
        ]
        return answer(request, self._about() | lasting | {"items": items}, lasting)

    async def teams(self, request: web.Request) -> web.Response:
        """Teams and the company."""
        windows = self._windows(Query(request.query, ("window",)))
        teams = (await self._pools.teams()).items()
        body = {
            "company": {"windows": self._numbers(await self._pools.company(), windows)},
            "items": [
                {"team": team, "reps": count, "windows": self._numbers(pool, windows)} for team, (count, pool) in teams
            ],
        }
        return answer(request, self._about() | body, body)

    async def segments(self, request: web.Request) -> web.Response:
        """Customers, revenue, cost and lifetime value by segment (S26)."""
        Query(request.query, ())
        segments = {name: segment_of(segment) for name, segment in self._store.segments().items() if segment.customers}
        items = [{"segment": name} | msgspec.structs.asdict(numbers) for name, numbers in segments.items()]
        return answer(request, self._about() | {"items": items}, items)

    async def quality(self, request: web.Request) -> web.Response:
        """What was wrong with records, and up to where each partition is published."""
        Query(request.query, ())
        partitions = [
            {
                "partition": partition,
                "offset": published.offset,
                "newest_event_at": rfc3339(published.stream_us) if published.stream_us > 0 else None,
            }
            for partition, published in sorted(self._store.partitions.items())
        ]
        body = {"windows": self._store.quality(), "partitions": partitions}
        return answer(request, self._about() | body, body)

    def _about(self) -> dict[str, object]:
        return {"as_of": rfc3339(self._store.now_us()), "currency": self._store.policy.currency}

    def _windows(self, query: Query) -> list[str]:
        window = query.choice("window", tuple(WINDOWS))
        return list(WINDOWS) if window is None else [window]

    def _numbers(self, sums: Sequence[Partial], windows: list[str]) -> dict[str, Numbers]:
        return {
            window: numbers_of(part, self._levels, self._pipelines)
            for window, part in zip(WINDOWS, sums, strict=True)
            if window in windows
        }

    def _rep(self, rep_id: str) -> dict[str, object]:
        reps, waiting = self._store.reps, self._store.waiting.of(rep_id).values()
        entry = reps.get(rep_id)
        return {
            "rep_id": rep_id,
            "name": reps.name(rep_id),
            "team": reps.team(rep_id),
            "time_zone": reps.zone(rep_id),
            "active": entry is None or entry.active,
            "open_requests": len(waiting),
            "oldest_open_at": rfc3339(min(one.opened_us for one in waiting)) if waiting else None,
            "open_opportunities": self._store.standing(rep_id),
        }

    def _matching(self, query: Query, now_us: int) -> Iterator[OpenRequest]:
        youngest_us = now_us - query.number("min_age", 0, LONGEST_WAIT_SECONDS, 0) * SECOND_US
        rep_id, team, level = query.word("rep"), query.word("team"), query.choice("level", self._levels)
        for one in self._store.waiting.ordered():
            if one.opened_us > youngest_us:
                return
            if rep_id is not None and one.rep_id != rep_id:
                continue
            if team is not None and self._store.reps.team(one.rep_id) != team:
                continue
            if level is None or level in self._store.ages.passed(one, now_us):
                yield one

    def _waiting(self, one: OpenRequest, now_us: int) -> dict[str, object]:
        return {
            "request_id": one.request_id,
            "turn": one.turn,
            "customer_id": one.customer_id,
            "rep_id": one.rep_id,
            "rep_name": self._store.reps.name(one.rep_id),
            "team": self._store.reps.team(one.rep_id),
            "channel": one.channel,
            "priority": one.priority,
            "topic": one.topic,
            "opened_at": rfc3339(one.opened_us),
            "due_at": {level: rfc3339(due_us) for level, due_us in one.due_us.items()},
            "levels": self._store.ages.passed(one, now_us),
        }


def _place(one: OpenRequest) -> Wait:
    return Wait(one.opened_us, one.customer_id, one.request_id)
