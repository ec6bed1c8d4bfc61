"""What each view of the live page shows, as plain values for its template. An impossible choice is the usual one."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from processors.board.pools import Pools
from processors.board.queries import LARGEST_PAGE
from processors.board.ranking import LAST, Column, Row, cell, columns, rank
from processors.board.store import Store
from processors.core.comparison import comparisons
from processors.core.instants import SECOND_US, rfc3339
from processors.core.numbers import Numbers, numbers_of, stages_of
from processors.core.windows import WINDOWS
from schemas.views import OpenRequest, Partial

Choices = Mapping[str, str]
"""The address's parameters."""
Context = dict[str, Any]
"""What a template reads: its variables are as different as the templates."""

ROWS = 100
REPS_AT_ONCE = 100
USUAL_WINDOW = "30d"


class NoSuchRep(LookupError):
    """Nobody is called that."""


class Views:
    """The views."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pools = Pools(store)

    async def waiting(self, choices: Choices) -> Context:
        """Who waits, the longest wait first."""
        now_us, ages = self._store.now_us(), self._store.ages
        found = [one for one in self._store.waiting.ordered() if self._is_wanted(one, choices, now_us)]
        page = self._page(choices, len(found))
        return {
            "rows": [self._row(one, now_us) for one in found[(page - 1) * ROWS : page * ROWS]],
            "total": len(found),
            "counts": self._counts(found, now_us),
            "levels": ages.levels,
            "page": page,
            "more": len(found) > page * ROWS,
            **self._teams(choices),
            "level": choices.get("level") if choices.get("level") in ages.levels else None,
            "rep": choices.get("rep"),
            "rep_name": self._store.reps.name(choices["rep"]) if choices.get("rep") else None,
        }

    async def leaderboards(self, choices: Choices) -> Context:
        """Several numbers of every rep side by side, ordered by the one chosen."""
        chosen, window = self._teams(choices), _window(choices)
        levels = self._store.ages.levels
        shown = columns(levels[0] if levels else None)
        rows = await self._ranked(self._members(chosen["team"]), shown, window)
        keys = [column.key for column in shown]
        sort = choices.get("sort", "")
        place = keys.index(sort) if sort in keys else 0
        rows.sort(key=lambda row: (row.cells[place].rank or LAST, row.name))
        page = self._page(choices, len(rows))
        return {
            "columns": shown,
            "rows": rows[(page - 1) * ROWS : page * ROWS],
            "sort": keys[place],
            "first_level": levels[0] if levels else "",
            "page": page,
            "more": len(rows) > page * ROWS,
            "windows": list(WINDOWS),
            "window": window,
            "total": len(rows),
            **chosen,
        }

    async def rep(self, choices: Choices) -> Context:
        """One rep beside the others of the team. Raises NoSuchRep."""
        rep_id, store = choices.get("rep", ""), self._store
        if not store.knows(rep_id):
            raise NoSuchRep(rep_id)
        team, window = store.reps.team(rep_id), _window(choices)
        others = await self._pools.pooled(mate for mate in self._pools.members(team) if mate != rep_id)
        mine, place = store.sums(rep_id), list(WINDOWS).index(window)
        compared = comparisons(mine[place], others[place], store.policy.pipelines)
        waits = sorted(store.waiting.of(rep_id).values(), key=lambda one: one.opened_us)
        return {
            "rep_id": rep_id,
            "name": store.reps.name(rep_id),
            "team": team,
            "zone": store.reps.zone(rep_id),
            "numbers": self._numbers(mine),
            "levels": store.ages.levels,
            "windows": list(WINDOWS),
            "window": window,
            "win_rates": {"win_rate_created": compared.win_rate_created, "win_rate_closed": compared.win_rate_closed},
            "stages": compared.stages,
            "standing": store.standing(rep_id),
            "waiting": [self._row(one, store.now_us()) for one in waits[:ROWS]],
            "waiting_total": len(waits),
        }

    async def funnel(self, choices: Choices) -> Context:
        """How far opportunities come: a rep over the team, or a team over everyone."""
        chosen, window, store = self._teams(choices), _window(choices), self._store
        pipelines = list(store.policy.pipelines)
        pipeline = choices["pipeline"] if choices.get("pipeline") in pipelines else next(iter(pipelines), "")
        rep_id = choices.get("rep") if store.knows(choices.get("rep", "")) else None
        mine, others = await self._beside(rep_id, chosen["team"], list(WINDOWS).index(window))
        stages = _stages(mine, others, pipeline, store.policy.pipelines.get(pipeline, ()))
        return {
            "stages": stages,
            "pipelines": pipelines,
            "pipeline": pipeline,
            "windows": list(WINDOWS),
            "window": window,
            "rep": rep_id,
            "rep_name": store.reps.name(rep_id) if rep_id else None,
            **chosen,
        }

    async def quality(self, _choices: Choices) -> Context:
        """What was wrong with records, and how fresh each partition is."""
        quality = self._store.quality()
        reasons = sorted({reason for counts in quality.values() for reason in counts})
        return {
            "windows": list(WINDOWS),
            "rows": [(reason, [quality[window].get(reason, 0) for window in WINDOWS]) for reason in reasons],
            "partitions": [
                (partition, published.offset, _instant(published.stream_us))
                for partition, published in sorted(self._store.partitions.items())
            ],
        }

    def _numbers(self, sums: Sequence[Partial]) -> dict[str, Numbers]:
        levels, pipelines = self._store.ages.levels, self._store.policy.pipelines
        return {window: numbers_of(part, levels, pipelines) for window, part in zip(WINDOWS, sums, strict=True)}

    def _is_wanted(self, one: OpenRequest, choices: Choices, now_us: int) -> bool:
        if choices.get("rep") not in (None, "", one.rep_id) or choices.get("request") not in (None, "", one.request_id):
            return False
        if choices.get("team") not in (None, "", self._store.reps.team(one.rep_id)):
            return False
        level = choices.get("level")
        return level not in self._store.ages.levels or level in self._store.ages.passed(one, now_us)

    def _counts(self, found: Sequence[OpenRequest], now_us: int) -> list[tuple[str, int]]:
        counts = [0] * len(self._store.ages.classes)
        for one in found:
            counts[self._store.ages.place(one, now_us)] += 1
        return list(zip(self._store.ages.classes, counts, strict=True))

    def _row(self, one: OpenRequest, now_us: int) -> Context:
        passed = self._store.ages.passed(one, now_us)
        return {
            "key": f"{one.customer_id}|{one.request_id}",
            "request": one,
            "rep_name": self._store.reps.name(one.rep_id),
            "team": self._store.reps.team(one.rep_id),
            "opened": _instant(one.opened_us),
            "waiting_seconds": (now_us - one.opened_us) / SECOND_US,
            "place": self._store.ages.place(one, now_us),
            "passed": passed,
            "due": [_due(one.due_us.get(level), now_us) for level in self._store.ages.levels],
        }

    def _teams(self, choices: Choices) -> Context:
        teams = sorted({self._store.reps.team(rep_id) for rep_id in self._store.known_reps()})
        return {"teams": teams, "team": choices.get("team") if choices.get("team") in teams else None}

    def _members(self, team: str | None) -> list[str]:
        return sorted(self._store.known_reps()) if team is None else self._pools.members(team)

    @staticmethod
    def _page(choices: Choices, total: int) -> int:
        said = choices.get("page", "1")
        last = max(1, -(-total // ROWS))
        return min(max(1, int(said)), last) if said.isdecimal() and len(said) <= len(str(LARGEST_PAGE)) * 2 else 1

    async def _ranked(self, rep_ids: list[str], shown: list[Column], window: str) -> list[Row]:
        place = list(WINDOWS).index(window)
        rows: list[Row] = []
        for count, rep_id in enumerate(rep_ids, 1):
            part = self._store.sums(rep_id)[place]
            reps = self._store.reps
            cells = [cell(column, part) for column in shown]
            rows.append(Row(rep_id, reps.name(rep_id), reps.team(rep_id), cells))
            if count % REPS_AT_ONCE == 0:
                await asyncio.sleep(0)
        for number, column in enumerate(shown):
            rank([row.cells[number] for row in rows], lowest_first=column.lowest_first)
        return rows

    async def _beside(self, rep_id: str | None, team: str | None, place: int) -> tuple[Partial, Partial]:
        """A rep and the rest of the team, a team and the rest of the company, or the company and nobody."""
        everyone = self._members(None)
        if rep_id is not None:
            mine, around = [rep_id], self._members(self._store.reps.team(rep_id))
        else:
            mine, around = self._members(team), everyone if team is not None else []
        inner = set(mine)
        others = await self._pools.pooled(one for one in around if one not in inner)
        return (await self._pools.pooled(mine))[place], others[place]


def _window(choices: Choices) -> str:
    return choices["window"] if choices.get("window") in WINDOWS else USUAL_WINDOW


def _due(due_us: int | None, now_us: int) -> tuple[int, float] | None:
    """A due instant, and how many seconds are left; None: the level does not hold for this request."""
    return None if due_us is None else (due_us, (due_us - now_us) / SECOND_US)


def _instant(at_us: int) -> str | None:
    return rfc3339(at_us) if at_us > 0 else None


def _stages(mine: Partial, others: Partial, pipeline: str, stages: Sequence[str]) -> list[Context]:
    """Stages with both sides' counts and their share of the first stage."""
    known = {pipeline: stages}
    own, rest = (stages_of(part.stages, known)[pipeline] if stages else {} for part in (mine, others))
    first, first_rest = (next((side[stage].entered for stage in islice(stages, 1)), 0) for side in (own, rest))
    return [
        {
            "stage": stage,
            "mine": own[stage],
            "others": rest[stage],
            "reach": own[stage].entered / first if first else None,
            "others_reach": rest[stage].entered / first_rest if first_rest else None,
        }
        for stage in stages
    ]
