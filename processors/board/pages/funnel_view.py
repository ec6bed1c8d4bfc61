"""*Funnel*: conversion by stage, of a rep and the rest of the team, a team and the other teams, or everyone."""

from collections.abc import Mapping, Sequence

from processors.board.pages.url_filters import Context, UrlFilters, find_reps, teams_of, window_of
from processors.board.state.store import Store
from processors.board.state.team_sums import TeamSums
from processors.core.reports.comparison import comparisons
from processors.core.reports.measures import StageNumbers, stages_of
from processors.core.time.windows import WINDOWS
from schemas.views import UNASSIGNED, Partial

MAX_SUGGESTED_REPS = 200
MIN_STAGE_ENTRIES = 10
"""With fewer opportunities in a stage, its losses say nothing."""


class FunnelView:
    """Fills the view."""

    def __init__(self, store: Store, team_sums: TeamSums) -> None:
        self._store = store
        self._team_sums = team_sums

    async def fill(self, filters: UrlFilters) -> Context:
        """The variables of the template."""
        chosen, window, store = teams_of(self._store, filters), window_of(filters), self._store
        pipelines = list(store.policy.pipelines)
        pipeline = filters["pipeline"] if filters.get("pipeline") in pipelines else next(iter(pipelines), "")
        rep_id = self._rep(filters.get("rep", ""), chosen["team"])
        mine, others = await self._compared_sums(rep_id, chosen["team"], list(WINDOWS).index(window))
        stages = _stages(mine, others, pipeline, store.policy.pipelines.get(pipeline, ()))
        return {
            "stages": stages,
            "ends": _ends(stages),
            "worst": _worst(stages),
            "pipelines": pipelines,
            "pipeline": pipeline,
            "windows": list(WINDOWS),
            "window": window,
            "rep": filters.get("rep", "") if rep_id is None else store.reps.name(rep_id),
            "rep_id": rep_id,
            "rep_name": None if rep_id is None else store.reps.name(rep_id),
            "suggested": self._suggested(chosen["team"]),
            **chosen,
        }

    def _rep(self, query: str, team: str | None) -> str | None:
        """The first rep that matches the search."""
        found = find_reps(self._store, query).rep_ids or set()
        within = [one for one in found if team is None or self._store.reps.team(one) == team]
        return min(within, key=lambda one: (self._store.reps.name(one), one), default=None)

    def _suggested(self, team: str | None) -> list[str]:
        names = {self._store.reps.name(one) for one in self._members(team) if one != UNASSIGNED}
        return sorted(names)[:MAX_SUGGESTED_REPS]

    def _members(self, team: str | None) -> list[str]:
        return sorted(self._store.known_reps()) if team is None else self._team_sums.members(team)

    async def _compared_sums(self, rep_id: str | None, team: str | None, window_index: int) -> tuple[Partial, Partial]:
        """The sums of the chosen rep or team, and of the rest of its team or company."""
        if rep_id is not None:
            mine, around = [rep_id], self._members(self._store.reps.team(rep_id))
        else:
            mine, around = self._members(team), self._members(None) if team is not None else []
        inner = set(mine)
        others = await self._team_sums.sum_over(one for one in around if one not in inner)
        return (await self._team_sums.sum_over(mine))[window_index], others[window_index]


def _stages(mine: Partial, others: Partial, pipeline: str, stages: Sequence[str]) -> list[Context]:
    """Stages with the counts of both sides, what is left of 100 % at each, and the verdict on the difference."""
    known: Mapping[str, Sequence[str]] = {pipeline: stages}
    own, rest = (stages_of(part.stages, known)[pipeline] if stages else {} for part in (mine, others))
    verdicts = comparisons(mine, others, known).stages.get(pipeline, {})
    reach, others_reach = _reach([own[stage] for stage in stages]), _reach([rest[stage] for stage in stages])
    return [
        {
            "stage": stage,
            "mine": own[stage],
            "others": rest[stage],
            "verdict": verdicts[stage].verdict,
            "reach": reach[index],
            "next_reach": reach[index + 1],
            "others_reach": others_reach[index],
            "others_next_reach": others_reach[index + 1],
        }
        for index, stage in enumerate(stages)
    ]


def _reach(stages: Sequence[StageNumbers]) -> list[float | None]:
    """The share of opportunities that reach each stage, and the end, at the conversions of the window (S20).

    Conversions are multiplied: each stage has a cohort of its own, so dividing the counts of two stages is wrong.
    """
    left: float | None = 1.0 if stages and stages[0].entered else None
    result = [left]
    for stage in stages:
        left = None if left is None or stage.conversion is None else left * stage.conversion
        result.append(left)
    return result


def _ends(stages: Sequence[Context]) -> tuple[float | None, float | None]:
    """The share that is won, on both sides."""
    return (stages[-1]["next_reach"], stages[-1]["others_next_reach"]) if stages else (None, None)


def _worst(stages: Sequence[Context]) -> str | None:
    """The stage that loses the largest share; None if it has too few opportunities."""
    judged = [one for one in stages if one["next_reach"] is not None]
    worst = max(judged, key=lambda one: one["reach"] - one["next_reach"], default=None)
    return worst["stage"] if worst is not None and worst["mine"].entered >= MIN_STAGE_ENTRIES else None
