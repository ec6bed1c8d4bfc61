"""*Leaderboards*: several numbers of every rep side by side, each with its rank and beside the rep's own team."""

import asyncio

from processors.board.choices import Choices, Context, page_of, reps_named, teams_of, window_of
from processors.board.pools import Pools
from processors.board.ranking import LAST, Column, Row, beside, cell, columns, rank
from processors.board.store import Store
from processors.core.time.windows import WINDOWS
from schemas.views import UNASSIGNED, Partial

ROWS = 50
"""The most reps of a page: each of their rows says ten things."""
REPS_AT_ONCE = 20
"""So many reps are ranked before the event loop gets its turn."""


class BoardsView:
    """Fills the view."""

    def __init__(self, store: Store, pools: Pools) -> None:
        self._store = store
        self._pools = pools

    async def fill(self, choices: Choices) -> Context:
        """What the template reads."""
        chosen, window = teams_of(self._store, choices), window_of(choices)
        levels = self._store.ages.levels
        shown = columns(levels[0] if levels else None)
        place = list(WINDOWS).index(window)
        rows = await self._ranked(chosen["team"], shown, place)
        ordered, sorting = _ordered(rows, shown, choices)
        found = reps_named(self._store, choices.get("rep", ""))
        sought = ordered if found.rep_ids is None else [row for row in ordered if row.rep_id in found.rep_ids]
        page = page_of(choices, len(sought), ROWS)
        some = sought[page["first"] : page["first"] + ROWS]
        pools = await self._judge(some, shown, place)
        pooled = (await self._pools.company())[place] if chosen["team"] is None else pools.get(chosen["team"])
        return {
            "columns": shown,
            "rows": some,
            "ranked": len(rows),
            "pooled": [cell(column, pooled or Partial()) for column in shown],
            "first_level": levels[0] if levels else "",
            "windows": list(WINDOWS),
            "window": window,
            "rep": found.words,
            **chosen,
            **page,
            **sorting,
        }

    async def _ranked(self, team: str | None, shown: list[Column], place: int) -> list[Row]:
        """The reps of a team, or all; nobody in place of a rep has no rank."""
        known = self._store.known_reps() if team is None else self._pools.members(team)
        reps, rows = self._store.reps, list[Row]()
        for count, rep_id in enumerate(sorted(one for one in known if one != UNASSIGNED), 1):
            part = self._store.sums(rep_id)[place]
            cells = [cell(column, part) for column in shown]
            rows.append(Row(rep_id, reps.name(rep_id), reps.team(rep_id), cells))
            if count % REPS_AT_ONCE == 0:
                await asyncio.sleep(0)
        for number, column in enumerate(shown):
            rank([row.cells[number] for row in rows], lowest_first=column.lowest_first)
            await asyncio.sleep(0)
        return rows

    async def _judge(self, rows: list[Row], shown: list[Column], place: int) -> dict[str, Partial]:
        """Put each share beside that of the rep's team without the rep (S25); the teams' sums."""
        pools = {team: pool[place] for team, (_, pool) in (await self._pools.teams()).items()}
        await asyncio.sleep(0)
        for row in rows:
            team = pools.get(row.team)
            for column, one in zip(shown, row.cells, strict=True):
                one.beside = None if team is None else beside(column, one, team)
        return pools


def _ordered(rows: list[Row], shown: list[Column], choices: Choices) -> tuple[list[Row], Context]:
    """By the chosen number, best first or worst first; those without it are last in either case."""
    keys = [column.key for column in shown]
    sort = choices["sort"] if choices.get("sort") in keys else keys[0]
    worst, place = choices.get("order") == "worst", keys.index(sort)
    sign = -1 if worst else 1

    def order(row: Row) -> tuple[int, str, str]:
        found = row.cells[place].rank
        return (LAST if found is None else sign * found, row.name, row.rep_id)

    rising = shown[place].lowest_first != worst
    return sorted(rows, key=order), {"sort": sort, "worst": worst, "rising": rising}
