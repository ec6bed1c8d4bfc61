"""What one opportunity contributes: to whom, when, which measure, how much. No two of one opportunity are equal."""

from typing import Final

from processors.core.state.opportunities import Close, Course, Mark

Contribution = tuple[str, int, str, str, str, int]
"""(rep_id, instant, measure, pipeline, stage, amount). The measures are the fields of Partial; `entered`, `visited` and
`advanced` of a stage; and `open`, which stands on no day."""

NO_STAGE: Final = "_none"


def contributions(course: Course, stages: tuple[str, ...]) -> list[Contribution]:
    """The contributions of a course in a pipeline of these stages."""
    created, close, standing = course.created, course.close, standing_of(course)
    found = stages_since(course, stages, 0, 0)
    if created is not None:
        found.append((created.rep_id, created.at_us, "opportunities_created", "", "", 1))
    if close is not None:
        found += closing(course, close, stages)
    if standing is not None:
        found.append(standing)
    return found


def closing(course: Course, close: Close, stages: tuple[str, ...]) -> list[Contribution]:
    """What its close adds, the stages aside that a win implies."""
    created = course.created
    found = _close(close, created)
    if close.won and stages and len(course.reached) == len(stages):
        found.append(_at_stage(course, "advanced", len(stages) - 1, stages))
    if close.won and created is not None:
        found.append((created.rep_id, created.at_us, "created_won", "", "", 1))
    return found


def standing_of(course: Course) -> Contribution | None:
    """What an opportunity adds to its owner's open ones."""
    if course.owner is None or not course.is_open:
        return None
    return (course.owner, 0, "open", course.pipeline, course.stage or NO_STAGE, 1)


def stages_since(course: Course, stages: tuple[str, ...], reached: int, visited: int) -> list[Contribution]:
    """What its stages add beyond so many that were reached and visited before: for the latest, it is not advanced."""
    found: list[Contribution] = []
    for index in range(reached, len(course.reached)):
        found.append(_at_stage(course, "entered", index, stages))
        if index:
            found.append(_at_stage(course, "advanced", index - 1, stages))
    for stage, mark in course.visited[visited:]:
        found.append((mark.rep_id, mark.at_us, "visited", course.pipeline, stage, 1))
    return found


def _at_stage(course: Course, measure: str, index: int, stages: tuple[str, ...]) -> Contribution:
    mark = course.reached[index]
    return (mark.rep_id, mark.at_us, measure, course.pipeline, stages[index], 1)


def _close(close: Close, created: Mark | None) -> list[Contribution]:
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
