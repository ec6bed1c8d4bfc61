"""Sums over the reps of a team, or of the company, computed in steps that leave the event loop free."""

import asyncio
import time
from collections.abc import Iterable

from processors.board.state.store import Store
from processors.core.reports.window_sums import add
from processors.core.time.windows import WINDOWS
from schemas.views import Partial, Scope

WindowTotals = list[Partial]
"""One sum for each of WINDOWS, in its order."""

REPS_BATCH_SIZE = 50
"""Reps added up between two turns of the event loop."""
FRESH_SECONDS = 1.0
"""The sums of all teams are shared by everyone who asks for this long, and longer if computing them took long."""
MAX_BUSY_SHARE = 0.1
"""Computing them again takes at most this share of the time."""


class TeamSums:
    """Sums over the windows of reps. Distinct customers are not summed: workers count them for each team (S11)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = asyncio.Lock()
        self._teams: dict[str, tuple[int, WindowTotals]] = {}
        self._company: WindowTotals = _zeros()
        self._fresh_until = float("-inf")

    async def teams(self) -> dict[str, tuple[int, WindowTotals]]:
        """Team to the number of its reps and its recent sums."""
        await self._refresh()
        return self._teams

    async def company(self) -> WindowTotals:
        """The sums of the company, as recent as those of its teams."""
        await self._refresh()
        return self._company

    async def sum_over(self, rep_ids: Iterable[str]) -> WindowTotals:
        """The sums over some reps, with no distinct customers: those cannot be added up."""
        into = _zeros()
        for count, rep_id in enumerate(rep_ids, 1):
            for mine, part in zip(into, self._store.sums(rep_id), strict=True):
                add(mine, part)
            if count % REPS_BATCH_SIZE == 0:
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
                self._company = self._distinct("company", "", _together(sums for _, sums in self._teams.values()))
                ended = time.monotonic()
                self._fresh_until = ended + max(FRESH_SECONDS, (ended - started) / MAX_BUSY_SHARE)

    async def _make(self) -> dict[str, tuple[int, WindowTotals]]:
        members: dict[str, list[str]] = {}
        for rep_id in sorted(self._store.known_reps()):
            members.setdefault(self._store.reps.team(rep_id), []).append(rep_id)
        teams: dict[str, tuple[int, WindowTotals]] = {}
        for team, reps in sorted(members.items()):
            teams[team] = (len(reps), self._distinct("team", team, await self.sum_over(reps)))
            await asyncio.sleep(0)  # `sum_over` yields in large teams only, and there may be many small ones
        return teams

    def _distinct(self, scope: Scope, subject: str, sums: WindowTotals) -> WindowTotals:
        for into, counted in zip(sums, self._store.distinct_counts(scope, subject), strict=True):
            into.customers_answered = counted.customers_answered
            into.recontactable_customers = counted.recontactable_customers
        return sums


def _zeros() -> WindowTotals:
    return [Partial() for _ in WINDOWS]


def _together(team_sums: Iterable[WindowTotals]) -> WindowTotals:
    into = _zeros()
    for sums in team_sums:
        for mine, part in zip(into, sums, strict=True):
            add(mine, part)
    return into
