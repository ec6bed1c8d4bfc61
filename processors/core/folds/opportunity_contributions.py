"""What one opportunity contributes: to whom, when, which measure, how much. No two of one opportunity are equal."""

from typing import Final

from processors.core.state.opportunities import Attribution, Close, OpportunityState

Contribution = tuple[str, int, str, str, str, int]
"""(rep_id, instant, measure, pipeline, stage, amount). The measures are the fields of Partial; `entered`, `visited` and
`advanced` of a stage; and `open`, which belongs to no day."""

NO_STAGE: Final = "_none"


def contributions(state: OpportunityState, stages: tuple[str, ...]) -> list[Contribution]:
    """The contributions of an opportunity in a pipeline of these stages."""
    created, close, still_open = state.created, state.close, open_contribution(state)
    found = stages_since(state, stages, 0, 0)
    if created is not None:
        found.append((created.rep_id, created.at_us, "opportunities_created", "", "", 1))
    if close is not None:
        found += closing(state, close, stages)
    if still_open is not None:
        found.append(still_open)
    return found


def closing(state: OpportunityState, close: Close, stages: tuple[str, ...]) -> list[Contribution]:
    """What its close adds, the stages aside that a win implies."""
    created = state.created
    found = _close(close, created)
    if close.won and stages and len(state.reached) == len(stages):
        found.append(_at_stage(state, "advanced", len(stages) - 1, stages))
    if close.won and created is not None:
        found.append((created.rep_id, created.at_us, "created_won", "", "", 1))
    return found


def open_contribution(state: OpportunityState) -> Contribution | None:
    """What an opportunity adds to its owner's open ones."""
    if state.owner is None or not state.is_open:
        return None
    return (state.owner, 0, "open", state.pipeline, state.stage or NO_STAGE, 1)


def stages_since(state: OpportunityState, stages: tuple[str, ...], reached: int, visited: int) -> list[Contribution]:
    """What its stages add beyond those reached and visited before: it has not advanced from the latest."""
    found: list[Contribution] = []
    for index in range(reached, len(state.reached)):
        found.append(_at_stage(state, "entered", index, stages))
        if index:
            found.append(_at_stage(state, "advanced", index - 1, stages))
    for stage, attribution in state.visited[visited:]:
        found.append((attribution.rep_id, attribution.at_us, "visited", state.pipeline, stage, 1))
    return found


def _at_stage(state: OpportunityState, measure: str, index: int, stages: tuple[str, ...]) -> Contribution:
    attribution = state.reached[index]
    return (attribution.rep_id, attribution.at_us, measure, state.pipeline, stages[index], 1)


def _close(close: Close, created: Attribution | None) -> list[Contribution]:
    rep_id, at_us = close.rep_id, close.at_us
    found: list[Contribution] = [(rep_id, at_us, "won" if close.won else "lost", "", "", 1)]
    if close.cents:
        found.append((rep_id, at_us, "won_cents", "", "", close.cents))
    if created is None:
        return found
    if close.cycle_us is None:
        return [*found, (rep_id, at_us, "cycle_negative", "", "", 1)]
    if close.follow_up_us is None:
        found.append((rep_id, at_us, "cycle_fallbacks", "", "", 1))
    measure = "cycle_won" if close.won else "cycle_lost"
    return [*found, (rep_id, at_us, measure, "", "", 1), (rep_id, at_us, measure + "_us", "", "", close.cycle_us)]
