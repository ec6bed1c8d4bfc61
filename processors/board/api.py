"""`/api/v1`: the live numbers as JSON. Instants are RFC 3339, durations seconds, money text with two decimal places."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from processors.board.access import caller_of
from processors.board.answers import Slice, Source, answer, page_of
from processors.board.pools import Pools
from processors.board.problems import Problem
from processors.board.queries import LONGEST_WORD, Query, place
from processors.board.shapes import (
    Company,
    Me,
    Page,
    PartitionItem,
    Quality,
    Rep,
    RepAnswer,
    SegmentItem,
    Team,
    Teams,
)
from processors.core.reports.comparison import comparisons
from processors.core.reports.measures import Numbers, numbers_of, segment_of
from processors.core.time.instants import rfc3339
from processors.core.time.windows import ALL, WINDOWS
from schemas.views import Partial

LARGEST_PAGE_BYTES = 2 * 1024 * 1024
"""A page of reps or teams ends when its items are larger: names in them may be long."""
REPS_AT_ONCE = 25
"""So many reps' numbers are made before the event loop gets its turn."""


_encode = msgspec.json.Encoder(decimal_format="string").encode


def _slice(names: Sequence[str], first: int, shown: int) -> Slice:
    """Where a page of items is among all of them, by their names in order."""
    last = first + shown
    return Slice(len(names), place(names[last - 1]) if shown and last < len(names) else None)


class Api:
    """The handlers of numbers."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._store = source.store
        self._pools = Pools(source.store)
        self._levels = source.store.ages.levels
        self._pipelines = source.store.policy.pipelines
        self._kinds = source.store.policy.kinds

    def routes(self) -> list[web.RouteDef]:
        """Where the handlers are."""
        known = self._source.known
        return [
            web.get("/api/v1/reps", known(self.reps)),
            web.get(r"/api/v1/reps/{rep_id:[\s\S]+}", known(self.rep)),
            web.get("/api/v1/teams", known(self.teams)),
            web.get("/api/v1/segments", known(self.segments)),
            web.get("/api/v1/quality", known(self.quality)),
            web.get("/api/v1/me", self.me),
        ]

    async def me(self, request: web.Request) -> web.Response:
        """Who asks, and what they may do."""
        Query(request.query, ())
        caller = caller_of(request)
        body = Me(caller.name, sorted(caller.may))
        return answer(request, body, body)

    async def reps(self, request: web.Request) -> web.Response:
        """Reps by id with their numbers; filters: team, window."""
        query = Query(request.query, ("team", "window", "limit", "after"))
        windows, limit, after = self._windows(query), query.limit(), query.after(str)
        team = query.word("team")
        ids = sorted(self._store.known_reps()) if team is None else self._pools.members(team)
        first = 0 if after is None else bisect_right(ids, after)
        items: list[Rep] = []
        size = 0
        for rep_id in ids[first : first + limit]:
            items.append(Rep(**self._rep(rep_id), windows=self._numbers(self._store.sums(rep_id), windows)))
            size += len(_encode(items[-1]))
            if size > LARGEST_PAGE_BYTES:
                break
            if len(items) % REPS_AT_ONCE == 0:
                await asyncio.sleep(0)
        where = _slice(ids, first, len(items))
        return answer(request, Page[Rep](**self._source.about(), **page_of(request, items, where)))

    async def rep(self, request: web.Request) -> web.Response:
        """One rep, beside the others of its team (S25)."""
        windows = self._windows(Query(request.query, ("window",)))
        rep_id = request.match_info["rep_id"]
        if not self._store.knows(rep_id):
            raise Problem(HTTPStatus.NOT_FOUND, f"no rep is called {rep_id[:LONGEST_WORD]!r}")
        mates = [mate for mate in self._pools.members(self._store.reps.team(rep_id)) if mate != rep_id]
        others = await self._pools.pooled(mates)
        mine = self._store.sums(rep_id)
        compared = {
            window: comparisons(part, rest, self._pipelines)
            for window, part, rest in zip(WINDOWS, mine, others, strict=True)
            if window in windows
        }
        numbers = self._numbers(mine, windows)
        body = RepAnswer(**self._source.about(), **self._rep(rep_id), windows=numbers, comparison=compared)
        return answer(request, body)

    async def teams(self, request: web.Request) -> web.Response:
        """Teams by name and the company; filter: window."""
        query = Query(request.query, ("window", "limit", "after"))
        windows, limit, after = self._windows(query), query.limit(), query.after(str)
        teams = await self._pools.teams()
        names = sorted(teams)
        first = 0 if after is None else bisect_right(names, after)
        items: list[Team] = []
        size = 0
        for name in names[first : first + limit]:
            count, pool = teams[name]
            items.append(Team(name, count, self._numbers(pool, windows)))
            size += len(_encode(items[-1]))
            if size > LARGEST_PAGE_BYTES:
                break
        company = Company(self._numbers(await self._pools.company(), windows))
        page = page_of(request, items, _slice(names, first, len(items)))
        return answer(request, Teams(**self._source.about(), company=company, **page))

    async def segments(self, request: web.Request) -> web.Response:
        """Customers, revenue, cost and lifetime value by segment (S26)."""
        query = Query(request.query, ("limit", "after"))
        limit, after = query.limit(), query.after(str)
        segments = {name: segment for name, segment in self._store.segments().items() if segment.customers}
        names = sorted(segments)
        first = 0 if after is None else bisect_right(names, after)
        items = [
            SegmentItem(name, **msgspec.structs.asdict(segment_of(segments[name])))
            for name in names[first : first + limit]
        ]
        page = page_of(request, items, _slice(names, first, len(items)))
        return answer(request, Page[SegmentItem](**self._source.about(), **page))

    async def quality(self, request: web.Request) -> web.Response:
        """What was wrong with records, and up to where each partition is published."""
        Query(request.query, ())
        partitions = [
            PartitionItem(
                partition, published.offset, rfc3339(published.stream_us) if published.stream_us > 0 else None
            )
            for partition, published in sorted(self._store.partitions.items())
        ]
        windows, read = self._store.quality(), self._store.read()
        body = Quality(
            **self._source.about(),
            windows=windows,
            read=read,
            shares={reason: count / read for reason, count in windows[ALL].items() if read},
            examples=self._store.examples(),
            partitions=partitions,
        )
        return answer(request, body)

    def _windows(self, query: Query) -> list[str]:
        window = query.choice("window", tuple(WINDOWS))
        return list(WINDOWS) if window is None else [window]

    def _numbers(self, sums: Sequence[Partial], windows: list[str]) -> dict[str, Numbers]:
        return {
            window: numbers_of(part, self._levels, self._pipelines, kinds=self._kinds)
            for window, part in zip(WINDOWS, sums, strict=True)
            if window in windows
        }

    def _rep(self, rep_id: str) -> dict[str, Any]:
        """The fields of `Rep` but for its windows."""
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
