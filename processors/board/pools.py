"""Sums over the reps of a team, or of the company, made without holding up the event loop."""

import asyncio
import time
from collections.abc import Iterable

from processors.board.store import Store
from processors.core.reports.window_sums import add
from processors.core.time.windows import WINDOWS
from schemas.views import Partial, Scope

Pool = list[Partial]
"""One sum for each of WINDOWS, in its order."""

REPS_AT_ONCE = 50
"""So many reps are added up before the event loop gets its turn."""
FRESH_SECONDS = 1.0
"""So long the teams' sums serve everyone who asks; longer when making them took long: SHARE of the time at most."""
SHARE = 0.1


class Pools:
    """Team and company numbers: sums over the reps' own windows, except for distinct customers, who are counted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._teams: dict[str, tuple[int, Pool]] = {}
        self._company: Pool = _nothing()
        self._fresh_until = float("-inf")

    async def teams(self) -> dict[str, tuple[int, Pool]]:
        """Team to the number of its reps and its sums, made not long ago."""
        await self._refresh()
        return self._teams

    async def company(self) -> Pool:
        """The sums of all teams, made together with them."""
        await self._refresh()
        return self._company

    async def pooled(self, rep_ids: Iterable[str]) -> Pool:
        """The sums over some reps, without distinct customers: those cannot be added up."""
        into = _nothing()
        for count, rep_id in enumerate(rep_ids, 1):
            for mine, part in zip(into, self._store.sums(rep_id), strict=True):
                add(mine, part)
            if count % REPS_AT_ONCE == 0:
                await asyncio.sleep(0)
        for mine in into:
            mine.customers_answered = mine.recontactable_customers = 0
        return into

    def members(self, team: str) -> list[str]:
        """The reps of a team."""
        return sorted(rep_id for rep_id in self._store.known_reps() if self._store.reps.team(rep_id) == team)

    async def _refresh(self) -> None:
        async with self._lock:
            started = time.monotonic()
            if started > self._fresh_until:
                self._teams = await self._make()
                self._company = self._distinct("company", "", _together(pool for _, pool in self._teams.values()))
                ended = time.monotonic()
                self._fresh_until = ended + max(FRESH_SECONDS, (ended - started) / SHARE)

    async def _make(self) -> dict[str, tuple[int, Pool]]:
        members: dict[str, list[str]] = {}
        for rep_id in sorted(self._store.known_reps()):
            members.setdefault(self._store.reps.team(rep_id), []).append(rep_id)
        teams: dict[str, tuple[int, Pool]] = {}
        for team, reps in sorted(members.items()):
            teams[team] = (len(reps), self._distinct("team", team, await self.pooled(reps)))
            await asyncio.sleep(0)  # `pooled` gives way in large teams only, and there may be many small ones
        return teams

    def _distinct(self, scope: Scope, subject: str, pool: Pool) -> Pool:
        for into, counted in zip(pool, self._store.distinct(scope, subject), strict=True):
            into.customers_answered = counted.customers_answered
            into.recontactable_customers = counted.recontactable_customers
        return pool


def _nothing() -> Pool:
    return [Partial() for _ in WINDOWS]


def _together(pools: Iterable[Pool]) -> Pool:
    into = _nothing()
    for pool in pools:
        for mine, part in zip(into, pool, strict=True):
            add(mine, part)
    return into
