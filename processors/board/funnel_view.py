"""*Funnel*: how far opportunities come, a rep over the team, a team over the others, or everyone."""

from collections.abc import Mapping, Sequence

from processors.board.choices import Choices, Context, reps_named, teams_of, window_of
from processors.board.pools import Pools
from processors.board.store import Store
from processors.core.reports.comparison import comparisons
from processors.core.reports.measures import StageNumbers, stages_of
from processors.core.time.windows import WINDOWS
from schemas.views import UNASSIGNED, Partial

SUGGESTED_REPS = 200
FEWEST = 10
"""Fewer opportunities in a stage say nothing about where customers leave."""


class FunnelView:
    """Fills the view."""

    def __init__(self, store: Store, pools: Pools) -> None:
        self._store = store
        self._pools = pools

    async def fill(self, choices: Choices) -> Context:
        """What the template reads."""
        chosen, window, store = teams_of(self._store, choices), window_of(choices), self._store
        pipelines = list(store.policy.pipelines)
        pipeline = choices["pipeline"] if choices.get("pipeline") in pipelines else next(iter(pipelines), "")
        rep_id = self._rep(choices.get("rep", ""), chosen["team"])
        mine, others = await self._beside(rep_id, chosen["team"], list(WINDOWS).index(window))
        stages = _stages(mine, others, pipeline, store.policy.pipelines.get(pipeline, ()))
        return {
            "stages": stages,
            "ends": _ends(stages),
            "worst": _worst(stages),
            "pipelines": pipelines,
            "pipeline": pipeline,
            "windows": list(WINDOWS),
            "window": window,
            "rep": choices.get("rep", "") if rep_id is None else store.reps.name(rep_id),
            "rep_id": rep_id,
            "rep_name": None if rep_id is None else store.reps.name(rep_id),
            "suggested": self._suggested(chosen["team"]),
            **chosen,
        }

    def _rep(self, words: str, team: str | None) -> str | None:
        """The first rep that the words name."""
        found = reps_named(self._store, words).rep_ids or set()
        within = [one for one in found if team is None or self._store.reps.team(one) == team]
        return min(within, key=lambda one: (self._store.reps.name(one), one), default=None)

    def _suggested(self, team: str | None) -> list[str]:
        names = {self._store.reps.name(one) for one in self._members(team) if one != UNASSIGNED}
        return sorted(names)[:SUGGESTED_REPS]

    def _members(self, team: str | None) -> list[str]:
        return sorted(self._store.known_reps()) if team is None else self._pools.members(team)

    async def _beside(self, rep_id: str | None, team: str | None, place: int) -> tuple[Partial, Partial]:
        """A rep and the rest of the team, a team and the rest of the company, or the company and nobody."""
        if rep_id is not None:
            mine, around = [rep_id], self._members(self._store.reps.team(rep_id))
        else:
            mine, around = self._members(team), self._members(None) if team is not None else []
        inner = set(mine)
        others = await self._pools.pooled(one for one in around if one not in inner)
        return (await self._pools.pooled(mine))[place], others[place]


def _stages(mine: Partial, others: Partial, pipeline: str, stages: Sequence[str]) -> list[Context]:
    """Stages with both sides' counts, what is left of 100 % at each, and the verdict on their difference."""
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
            "reach": reach[place],
            "next_reach": reach[place + 1],
            "others_reach": others_reach[place],
            "others_next_reach": others_reach[place + 1],
        }
        for place, stage in enumerate(stages)
    ]


def _reach(stages: Sequence[StageNumbers]) -> list[float | None]:
    """What comes as far as each stage, and to the end, of all that begin, at the stages' conversions (S20).

    The conversions are multiplied: each stage has its own cohort, so counts of different stages are not shares of each
    other.
    """
    left: float | None = 1.0 if stages and stages[0].entered else None
    result = [left]
    for stage in stages:
        left = None if left is None or stage.conversion is None else left * stage.conversion
        result.append(left)
    return result


def _ends(stages: Sequence[Context]) -> tuple[float | None, float | None]:
    """What is won of all that begin, on both sides."""
    return (stages[-1]["next_reach"], stages[-1]["others_next_reach"]) if stages else (None, None)


def _worst(stages: Sequence[Context]) -> str | None:
    """The stage in which most of all that begin are lost; None if there are too few in it to say so."""
    judged = [one for one in stages if one["next_reach"] is not None]
    worst = max(judged, key=lambda one: one["reach"] - one["next_reach"], default=None)
    return worst["stage"] if worst is not None and worst["mine"].entered >= FEWEST else None
