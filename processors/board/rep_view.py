"""*Rep card*: one rep beside the others of the team: key numbers, the last 30 days, all windows, who waits."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from processors.board.choices import ROWS, Choices, Context, NoSuchRep, window_of
from processors.board.pools import Pools
from processors.board.ranking import Column, beside, cell, columns
from processors.board.store import Store
from processors.board.waiting_view import WaitingView
from processors.core.reports.comparison import comparisons
from processors.core.reports.measures import numbers_of, ratio
from processors.core.reports.window_sums import total
from processors.core.time.instants import DAY_US, rfc3339
from processors.core.time.windows import WINDOWS
from processors.core.time.zones import zone_days
from schemas.views import Partial

TREND_DAYS = 30
FRESH_SECONDS = 30.0
"""So long the days of the others are not added up again."""
MATES_AT_ONCE = 20
MOST_TRENDS = 256
TILES = ("response_per_customer", "within", "win_rate_closed", "activities")


class Day(NamedTuple):
    """One day of the trend."""

    day: str
    """In the rep's zone, as 2026-11-25."""
    responses: int
    within: float | None
    """The share of answers and breaches of that day that were in time, for the shortest level."""
    others_within: float | None


class RepView:
    """Fills the view."""

    def __init__(self, store: Store, pools: Pools, waiting: WaitingView) -> None:
        self._store = store
        self._pools = pools
        self._waiting = waiting
        self._others: dict[str, tuple[float, list[Partial]]] = {}

    async def fill(self, choices: Choices) -> Context:
        """What the template reads. Raises NoSuchRep."""
        rep_id, store = choices.get("rep", ""), self._store
        if not store.knows(rep_id):
            raise NoSuchRep(rep_id)
        team, window = store.reps.team(rep_id), window_of(choices)
        mates = [mate for mate in self._pools.members(team) if mate != rep_id]
        others = await self._pools.pooled(mates)
        trend = await self._trend(rep_id, mates)
        mine, place = store.sums(rep_id), list(WINDOWS).index(window)
        whole = (await self._pools.teams()).get(team)
        compared = comparisons(mine[place], others[place], store.policy.pipelines)
        levels, pipelines = store.ages.levels, store.policy.pipelines
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
            "tiles": self._tiles(mine[place], others[place], Partial() if whole is None else whole[1][place]),
            "win_rates": {"win_rate_created": compared.win_rate_created, "win_rate_closed": compared.win_rate_closed},
            "stages": compared.stages,
            "standing": store.standing(rep_id),
            "trend": trend,
            **self._waits(rep_id),
        }

    def _tiles(self, mine: Partial, others: Partial, team: Partial) -> list[Context]:
        """The rep's key numbers, each with the others' (a count: with nobody's).

        A number by distinct customers stands beside that of the whole team: the rep's customers may be others' too.
        """
        result = []
        for column in _chosen(columns(next(iter(self._store.ages.levels), None))):
            own, rest = cell(column, mine), cell(column, team if column.is_by_customer else others)
            both = beside(column, own, total([mine, others]))
            result.append(
                {
                    "column": column,
                    "mine": own.value,
                    "whose": "team" if column.is_by_customer else "others",
                    "theirs": None if column.kind == "count" else rest.value,
                    "verdict": both.verdict if both else None,
                }
            )
        return result

    def _waits(self, rep_id: str) -> Context:
        now_us = self._store.now_us()
        waits = sorted(self._store.waiting.of(rep_id).values(), key=lambda one: one.opened_us)
        ages = self._store.ages
        stale = {"stale_us": min(ages.next_us(one, now_us) for one in waits)} if waits else {}
        return {
            "waiting": [self._waiting.row(one, now_us) for one in waits[:ROWS]],
            "waiting_total": len(waits),
            **stale,
        }

    async def _trend(self, rep_id: str, mates: Sequence[str]) -> list[Day]:
        zone = zone_days(self._store.reps.zone(rep_id))
        last = zone.day(self._store.now_us())
        first = last - TREND_DAYS + 1
        others = await self._days(f"{last}|{rep_id}", mates, first, last)
        mine = self._store.each_day(rep_id, first, last)
        level = next(iter(self._store.ages.levels), "")
        return [
            Day(rfc3339((first + number) * DAY_US)[:10], own.responses, _timely(own, level), _timely(rest, level))
            for number, (own, rest) in enumerate(zip(mine, others, strict=True))
        ]

    async def _days(self, key: str, mates: Iterable[str], first: int, last: int) -> list[Partial]:
        """The others' days, made not long ago."""
        known = self._others.get(key)
        if known is not None and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        into = [Partial() for _ in range(first, last + 1)]
        for count, mate in enumerate(mates, 1):
            for day, part in zip(into, self._store.each_day(mate, first, last), strict=True):
                _add_timely(day, part)
            if count % MATES_AT_ONCE == 0:
                await asyncio.sleep(0)
        if len(self._others) >= MOST_TRENDS:
            self._others.clear()
        self._others[key] = (time.monotonic(), into)
        return into


def _chosen(shown: Iterable[Column]) -> list[Column]:
    return [column for column in shown if column.key in TILES]


def _timely(part: Partial, level: str) -> float | None:
    met = part.answered_within.get(level, 0)
    return ratio(met, met + part.breaches.get(level, 0))


def _add_timely(into: Partial, part: Partial) -> None:
    """Only what the trend reads of the others: adding up everything takes ten times as long."""
    for mine, theirs in ((into.answered_within, part.answered_within), (into.breaches, part.breaches)):
        for level, count in theirs.items():
            mine[level] = mine.get(level, 0) + count
