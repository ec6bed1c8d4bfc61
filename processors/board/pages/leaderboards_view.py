"""*Leaderboards*: several numbers of every rep, each with its rank and compared with the rep's team."""

import asyncio

from processors.board.pages.ranking import (
    LAST,
    LeaderboardColumn,
    LeaderboardRow,
    cell,
    columns,
    compare_with_team,
    rank,
)
from processors.board.pages.url_filters import Context, UrlFilters, find_reps, page_at, teams_of, window_of
from processors.board.state.store import Store
from processors.board.state.team_sums import TeamSums
from processors.core.time.windows import WINDOWS
from schemas.views import UNASSIGNED, Partial

LEADERBOARD_ROWS = 50
"""Reps of a page: fewer than other rows, because each has ten columns."""
REPS_BATCH_SIZE = 20
"""Reps ranked between two turns of the event loop."""


class LeaderboardsView:
    """Fills the view."""

    def __init__(self, store: Store, team_sums: TeamSums) -> None:
        self._store = store
        self._team_sums = team_sums

    async def fill(self, filters: UrlFilters) -> Context:
        """The variables of the template."""
        chosen, window = teams_of(self._store, filters), window_of(filters)
        levels = self._store.age_classes.levels
        shown = columns(levels[0] if levels else None)
        window_index = list(WINDOWS).index(window)
        rows = await self._ranked(chosen["team"], shown, window_index)
        ordered, sorting = _ordered(rows, shown, filters)
        found = find_reps(self._store, filters.get("rep", ""))
        sought = ordered if found.rep_ids is None else [row for row in ordered if row.rep_id in found.rep_ids]
        page = page_at(filters, len(sought), LEADERBOARD_ROWS)
        some = sought[page["first"] : page["first"] + LEADERBOARD_ROWS]
        team_sums = await self._compare(some, shown, window_index)
        pooled = (
            (await self._team_sums.company())[window_index] if chosen["team"] is None else team_sums.get(chosen["team"])
        )
        return {
            "columns": shown,
            "rows": some,
            "ranked": len(rows),
            "pooled": [cell(column, pooled or Partial()) for column in shown],
            "first_level": levels[0] if levels else "",
            "windows": list(WINDOWS),
            "window": window,
            "rep": found.query,
            **chosen,
            **page,
            **sorting,
        }

    async def _ranked(
        self, team: str | None, shown: list[LeaderboardColumn], window_index: int
    ) -> list[LeaderboardRow]:
        """The reps of a team, or all reps, with their ranks. Unassigned work is not ranked."""
        known = self._store.known_reps() if team is None else self._team_sums.members(team)
        reps, rows = self._store.reps, list[LeaderboardRow]()
        for count, rep_id in enumerate(sorted(one for one in known if one != UNASSIGNED), 1):
            part = self._store.sums(rep_id)[window_index]
            cells = [cell(column, part) for column in shown]
            rows.append(LeaderboardRow(rep_id, reps.name(rep_id), reps.team(rep_id), cells))
            if count % REPS_BATCH_SIZE == 0:
                await asyncio.sleep(0)
        for number, column in enumerate(shown):
            rank([row.cells[number] for row in rows], lowest_first=column.lowest_first)
            await asyncio.sleep(0)
        return rows

    async def _compare(
        self, rows: list[LeaderboardRow], shown: list[LeaderboardColumn], window_index: int
    ) -> dict[str, Partial]:
        """Compare each share with that of the rest of the rep's team (S25). Returns the teams' sums."""
        team_sums = {team: sums[window_index] for team, (_, sums) in (await self._team_sums.teams()).items()}
        await asyncio.sleep(0)
        for row in rows:
            team = team_sums.get(row.team)
            for column, one in zip(shown, row.cells, strict=True):
                one.comparison = None if team is None else compare_with_team(column, one, team)
        return team_sums


def _ordered(
    rows: list[LeaderboardRow], shown: list[LeaderboardColumn], filters: UrlFilters
) -> tuple[list[LeaderboardRow], Context]:
    """Sort by the chosen column, best first or worst first; reps without a value come last in either case."""
    keys = [column.key for column in shown]
    sort = filters["sort"] if filters.get("sort") in keys else keys[0]
    worst, column_index = filters.get("order") == "worst", keys.index(sort)
    sign = -1 if worst else 1

    def order(row: LeaderboardRow) -> tuple[int, str, str]:
        found = row.cells[column_index].rank
        return (LAST if found is None else sign * found, row.name, row.rep_id)

    rising = shown[column_index].lowest_first != worst
    return sorted(rows, key=order), {"sort": sort, "worst": worst, "rising": rising}
