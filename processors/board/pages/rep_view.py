"""*Rep card*: one rep compared with the rest of the team: key numbers, 30-day trend, all windows, open requests."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from processors.board.pages.ranking import LeaderboardColumn, cell, columns, compare_with_team
from processors.board.pages.url_filters import PAGE_ROWS, Context, UnknownRep, UrlFilters, window_of
from processors.board.pages.waiting_view import WaitingView
from processors.board.state.store import Store
from processors.board.state.team_sums import TeamSums
from processors.core.reports.comparison import comparisons
from processors.core.reports.measures import numbers_of, ratio
from processors.core.reports.window_sums import total
from processors.core.time.instants import DAY_US, rfc3339
from processors.core.time.windows import WINDOWS
from processors.core.time.zones import zone_days
from schemas.views import Partial

TREND_DAYS = 30
FRESH_SECONDS = 30.0
"""The daily sums of the rest of a team are reused for this long."""
MATES_BATCH_SIZE = 20
MAX_TRENDS = 256
TILES = ("response_per_customer", "within", "win_rate_closed", "activities")


class Day(NamedTuple):
    """One day of the trend."""

    day: str
    """In the rep's zone, as 2026-11-25."""
    responses: int
    within: float | None
    """Responses in time as a share of responses and breaches of the day, for the shortest level."""
    others_within: float | None


class RepView:
    """Fills the view."""

    def __init__(self, store: Store, team_sums: TeamSums, waiting: WaitingView) -> None:
        self._store = store
        self._team_sums = team_sums
        self._waiting = waiting
        self._team_days: dict[str, tuple[float, list[Partial]]] = {}

    async def fill(self, filters: UrlFilters) -> Context:
        """The variables of the template. Raises UnknownRep."""
        rep_id, store = filters.get("rep", ""), self._store
        if not store.knows(rep_id):
            raise UnknownRep(rep_id)
        team, window = store.reps.team(rep_id), window_of(filters)
        mates = [mate for mate in self._team_sums.members(team) if mate != rep_id]
        others = await self._team_sums.sum_over(mates)
        trend = await self._trend(rep_id, mates)
        mine, index = store.sums(rep_id), list(WINDOWS).index(window)
        whole = (await self._team_sums.teams()).get(team)
        compared = comparisons(mine[index], others[index], store.policy.pipelines)
        levels, pipelines = store.age_classes.levels, store.policy.pipelines
        return {
            "rep_id": rep_id,
            "name": store.reps.name(rep_id),
            "team": team,
            "zone": store.reps.zone(rep_id),
            "numbers": {
                name: numbers_of(part, levels, pipelines, kinds=store.policy.kinds)
                for name, part in zip(WINDOWS, mine, strict=True)
            },
            "levels": levels,
            "first_level": levels[0] if levels else "",
            "windows": list(WINDOWS),
            "window": window,
            "tiles": self._tiles(mine[index], others[index], Partial() if whole is None else whole[1][index]),
            "win_rates": {"win_rate_created": compared.win_rate_created, "win_rate_closed": compared.win_rate_closed},
            "stages": compared.stages,
            "open_opportunities": store.open_opportunities(rep_id),
            "trend": trend,
            **self._waits(rep_id),
        }

    def _tiles(self, mine: Partial, others: Partial, team: Partial) -> list[Context]:
        """The rep's key numbers, each with that of the rest of the team, except for counts.

        Numbers by distinct customers are compared with the whole team: the rep's customers may be those of others too.
        """
        result = []
        for column in _chosen(columns(next(iter(self._store.age_classes.levels), None))):
            own, rest = cell(column, mine), cell(column, team if column.is_by_customer else others)
            comparison = compare_with_team(column, own, total([mine, others]))
            result.append(
                {
                    "column": column,
                    "mine": own.value,
                    "whose": "team" if column.is_by_customer else "others",
                    "theirs": None if column.kind == "count" else rest.value,
                    "verdict": comparison.verdict if comparison else None,
                }
            )
        return result

    def _waits(self, rep_id: str) -> Context:
        now_us = self._store.now_us()
        waits = sorted(self._store.open_requests.owned_by(rep_id).values(), key=lambda one: one.opened_us)
        classes = self._store.age_classes
        stale = {"stale_us": min(classes.next_due_us(one, now_us) for one in waits)} if waits else {}
        return {
            "waiting": [self._waiting.row(one, now_us) for one in waits[:PAGE_ROWS]],
            "waiting_total": len(waits),
            **stale,
        }

    async def _trend(self, rep_id: str, mates: Sequence[str]) -> list[Day]:
        zone = zone_days(self._store.reps.zone(rep_id))
        last = zone.day(self._store.now_us())
        first = last - TREND_DAYS + 1
        others = await self._days(f"{last}|{rep_id}", mates, first, last)
        mine = self._store.daily_sums(rep_id, first, last)
        level = next(iter(self._store.age_classes.levels), "")
        return [
            Day(rfc3339((first + number) * DAY_US)[:10], own.responses, _timely(own, level), _timely(rest, level))
            for number, (own, rest) in enumerate(zip(mine, others, strict=True))
        ]

    async def _days(self, key: str, mates: Iterable[str], first: int, last: int) -> list[Partial]:
        """The recent daily sums of the rest of the team."""
        known = self._team_days.get(key)
        if known is not None and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        into = [Partial() for _ in range(first, last + 1)]
        for count, mate in enumerate(mates, 1):
            for day, part in zip(into, self._store.daily_sums(mate, first, last), strict=True):
                _add_timely(day, part)
            if count % MATES_BATCH_SIZE == 0:
                await asyncio.sleep(0)
        if len(self._team_days) >= MAX_TRENDS:
            self._team_days.clear()
        self._team_days[key] = (time.monotonic(), into)
        return into


def _chosen(shown: Iterable[LeaderboardColumn]) -> list[LeaderboardColumn]:
    return [column for column in shown if column.key in TILES]


def _timely(part: Partial, level: str) -> float | None:
    met = part.answered_within.get(level, 0)
    return ratio(met, met + part.breaches.get(level, 0))


def _add_timely(into: Partial, part: Partial) -> None:
    """Add only what the trend needs: adding up everything takes ten times as long."""
    for mine, theirs in ((into.answered_within, part.answered_within), (into.breaches, part.breaches)):
        for level, count in theirs.items():
            mine[level] = mine.get(level, 0) + count
