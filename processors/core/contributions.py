"""What one opportunity contributes: to whom, when, which measure, how much. No two of one opportunity are equal."""

from collections.abc import Iterator

from processors.core.opportunities import Close, Course, Mark

Contribution = tuple[str, int, str, str, str, int]
"""(rep_id, instant, measure, pipeline, stage, amount). The measures are the fields of Partial; `entered`, `visited` and
`advanced` of a stage; and `open`, which stands on no day."""

NO_STAGE = "_none"


def contributions(course: Course, stages: tuple[str, ...]) -> Iterator[Contribution]:
    """The contributions of a course in a pipeline of these stages."""
    created, close = course.created, course.close
    won = close is not None and close.won
    if created is not None:
        yield (created.rep_id, created.at_us, "opportunities_created", "", "", 1)
        if won:
            yield (created.rep_id, created.at_us, "created_won", "", "", 1)
    yield from _stages(course, stages, won=won)
    if close is not None:
        yield from _close(close, created)
    elif course.owner is not None and course.is_open:
        yield (course.owner, 0, "open", course.pipeline, course.stage or NO_STAGE, 1)


def _stages(course: Course, stages: tuple[str, ...], *, won: bool) -> Iterator[Contribution]:
    pipeline, reached = course.pipeline, len(course.reached)
    for index, (rep_id, at_us) in enumerate(course.reached):
        yield (rep_id, at_us, "entered", pipeline, stages[index], 1)
        if index + 1 < reached or (won and index + 1 == len(stages)):
            yield (rep_id, at_us, "advanced", pipeline, stages[index], 1)
    for stage, (rep_id, at_us) in course.visited:
        yield (rep_id, at_us, "visited", pipeline, stage, 1)


def _close(close: Close, created: Mark | None) -> Iterator[Contribution]:
    rep_id, at_us = close.rep_id, close.at_us
    yield (rep_id, at_us, "won" if close.won else "lost", "", "", 1)
    if close.cents:
        yield (rep_id, at_us, "won_cents", "", "", close.cents)
    if created is None or created.at_us > at_us:
        return
    if close.follow_up_us is None:
        yield (rep_id, at_us, "cycle_fallbacks", "", "", 1)
    cycle_us = at_us - (created.at_us if close.follow_up_us is None else close.follow_up_us)
    measure = "cycle_won" if close.won else "cycle_lost"
    yield (rep_id, at_us, measure, "", "", 1)
    yield (rep_id, at_us, measure + "_us", "", "", cycle_us)
