"""`/api/v1`: reps, teams, segments and data quality as JSON."""

import asyncio
from bisect import bisect_right
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from processors.board.api.models import (
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
from processors.board.api.query import MAX_TEXT_LENGTH, Query, encode_cursor
from processors.board.api.responses import NumbersSource, PageBounds, json_response, page_fields
from processors.board.state.team_sums import TeamSums
from processors.board.web.access import caller_of
from processors.board.web.problems import Problem
from processors.core.reports.comparison import comparisons
from processors.core.reports.measures import Numbers, numbers_of, segment_of
from processors.core.time.instants import rfc3339
from processors.core.time.windows import ALL, WINDOWS
from schemas.views import Partial

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""A page of reps or teams ends once its items exceed this: names may be long."""
REPS_BATCH_SIZE = 25
"""Reps whose numbers are computed between two turns of the event loop."""


_encode = msgspec.json.Encoder(decimal_format="string").encode


def _bounds(names: Sequence[str], first: int, shown: int) -> PageBounds:
    """The bounds of a page of items that are ordered by name."""
    last = first + shown
    return PageBounds(len(names), encode_cursor(names[last - 1]) if shown and last < len(names) else None)


class NumbersApi:
    """The handlers."""

    def __init__(self, source: NumbersSource) -> None:
        self._source = source
        self._store = source.store
        self._team_sums = TeamSums(source.store)
        self._levels = source.store.age_classes.levels
        self._pipelines = source.store.policy.pipelines
        self._kinds = source.store.policy.kinds

    def routes(self) -> list[web.RouteDef]:
        """The routes of the handlers."""
        when_loaded = self._source.when_loaded
        return [
            web.get("/api/v1/reps", when_loaded(self.reps)),
            web.get(r"/api/v1/reps/{rep_id:[\s\S]+}", when_loaded(self.rep)),
            web.get("/api/v1/teams", when_loaded(self.teams)),
            web.get("/api/v1/segments", when_loaded(self.segments)),
            web.get("/api/v1/quality", when_loaded(self.quality)),
            web.get("/api/v1/me", self.me),
        ]

    async def me(self, request: web.Request) -> web.Response:
        """Get the caller's name and permissions."""
        Query(request.query, ())
        caller = caller_of(request)
        body = Me(caller.name, sorted(caller.may))
        return json_response(request, body, body)

    async def reps(self, request: web.Request) -> web.Response:
        """List reps by id, with their numbers; filters: team, window."""
        query = Query(request.query, ("team", "window", "limit", "after"))
        windows, limit, after = self._windows(query), query.limit(), query.cursor(str)
        team = query.text("team")
        ids = sorted(self._store.known_reps()) if team is None else self._team_sums.members(team)
        first = 0 if after is None else bisect_right(ids, after)
        items: list[Rep] = []
        size = 0
        for rep_id in ids[first : first + limit]:
            items.append(Rep(**self._rep(rep_id), windows=self._numbers(self._store.sums(rep_id), windows)))
            size += len(_encode(items[-1]))
            if size > MAX_PAGE_BYTES:
                break
            if len(items) % REPS_BATCH_SIZE == 0:
                await asyncio.sleep(0)
        bounds = _bounds(ids, first, len(items))
        return json_response(request, Page[Rep](**self._source.about(), **page_fields(request, items, bounds)))

    async def rep(self, request: web.Request) -> web.Response:
        """Get one rep, compared with the rest of its team (S25)."""
        windows = self._windows(Query(request.query, ("window",)))
        rep_id = request.match_info["rep_id"]
        if not self._store.knows(rep_id):
            raise Problem(HTTPStatus.NOT_FOUND, f"no rep is called {rep_id[:MAX_TEXT_LENGTH]!r}")
        mates = [mate for mate in self._team_sums.members(self._store.reps.team(rep_id)) if mate != rep_id]
        others = await self._team_sums.sum_over(mates)
        mine = self._store.sums(rep_id)
        compared = {
            window: comparisons(part, rest, self._pipelines)
            for window, part, rest in zip(WINDOWS, mine, others, strict=True)
            if window in windows
        }
        numbers = self._numbers(mine, windows)
        body = RepAnswer(**self._source.about(), **self._rep(rep_id), windows=numbers, comparison=compared)
        return json_response(request, body)

    async def teams(self, request: web.Request) -> web.Response:
        """List teams by name, and the company; filter: window."""
        query = Query(request.query, ("window", "limit", "after"))
        windows, limit, after = self._windows(query), query.limit(), query.cursor(str)
        teams = await self._team_sums.teams()
        names = sorted(teams)
        first = 0 if after is None else bisect_right(names, after)
        items: list[Team] = []
        size = 0
        for name in names[first : first + limit]:
            count, sums = teams[name]
            items.append(Team(name, count, self._numbers(sums, windows)))
            size += len(_encode(items[-1]))
            if size > MAX_PAGE_BYTES:
                break
        company = Company(self._numbers(await self._team_sums.company(), windows))
        page = page_fields(request, items, _bounds(names, first, len(items)))
        return json_response(request, Teams(**self._source.about(), company=company, **page))

    async def segments(self, request: web.Request) -> web.Response:
        """List customers, revenue, cost and lifetime value by segment (S26)."""
        query = Query(request.query, ("limit", "after"))
        limit, after = query.limit(), query.cursor(str)
        segments = {name: segment for name, segment in self._store.segments().items() if segment.customers}
        names = sorted(segments)
        first = 0 if after is None else bisect_right(names, after)
        items = [
            SegmentItem(name, **msgspec.structs.asdict(segment_of(segments[name])))
            for name in names[first : first + limit]
        ]
        page = page_fields(request, items, _bounds(names, first, len(items)))
        return json_response(request, Page[SegmentItem](**self._source.about(), **page))

    async def quality(self, request: web.Request) -> web.Response:
        """Get data quality, and how far each partition is published."""
        Query(request.query, ())
        partitions = [
            PartitionItem(
                partition, published.offset, rfc3339(published.stream_us) if published.stream_us > 0 else None
            )
            for partition, published in sorted(self._store.partitions.items())
        ]
        windows, read = self._store.quality(), self._store.records_read()
        body = Quality(
            **self._source.about(),
            windows=windows,
            read=read,
            shares={reason: count / read for reason, count in windows[ALL].items() if read},
            examples=self._store.examples(),
            partitions=partitions,
        )
        return json_response(request, body)

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
        """The fields of `Rep` except its windows."""
        reps, waiting = self._store.reps, self._store.open_requests.owned_by(rep_id).values()
        entry = reps.get(rep_id)
        return {
            "rep_id": rep_id,
            "name": reps.name(rep_id),
            "team": reps.team(rep_id),
            "time_zone": reps.zone(rep_id),
            "active": entry is None or entry.active,
            "open_requests": len(waiting),
            "oldest_open_at": rfc3339(min(one.opened_us for one in waiting)) if waiting else None,
            "open_opportunities": self._store.open_opportunities(rep_id),
        }
