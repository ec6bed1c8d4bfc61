"""The business families of metrics: what each is called, which series a rep has in it, and their values.

Series and values are two lists in the same order: the text around
the values is the same for all reps with the same layout, and is made once.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import NamedTuple

from processors.board.tally import Sums, bits_of
from processors.core.windows import WINDOWS
from schemas.policy import Policy
from schemas.views import RESPONSE_BUCKETS_SECONDS, Partial

Labels = tuple[tuple[str, str], ...]
Value = int | float

BUCKETS_WINDOW = "7d"
"""The one window that has the distribution of response times."""
KINDS = ("call", "email", "meeting", "demo")
"""Kinds of activity that every rep has, if only at 0."""
MOST_KINDS = 24
"""Kinds are free words: what goes beyond so many is counted as OTHER_KINDS, or one sender could swamp Prometheus."""
OTHER_KINDS = "_other"
BEFORE_FIRST_STAGE = "_none"

_MICRO = 1_000_000
_BOUNDS = (*map(str, RESPONSE_BUCKETS_SECONDS), "+Inf")
_BUCKETS_PLACE = list(WINDOWS).index(BUCKETS_WINDOW)
_WINDOW_LABELS: tuple[Labels, ...] = tuple((("window", window),) for window in WINDOWS)


class Layout(NamedTuple):
    """What decides which series a rep has."""

    levels: tuple[str, ...]
    kinds: tuple[str, ...]
    stages: tuple[tuple[str, str], ...]
    """(pipeline, stage)"""


class Family(NamedTuple):
    """A family of series that are sums over windows."""

    name: str
    meaning: str
    labels: Callable[[Layout], Sequence[Labels]]
    values: Callable[[Layout, Sums], list[Value]]
    reads: int
    """The fields of Partial that decide on labels and values, as bits."""


def layout_of(policy: Policy, levels: tuple[str, ...], sums: Sums) -> Layout:
    """The layout of a rep by all that it ever did: the last window."""
    return Layout(levels, _kinds(sums[-1]), _stages(policy, sums[-1]))


def _kinds(ever: Partial) -> tuple[str, ...]:
    own = sorted(kind for kind in ever.activities if kind not in (*KINDS, OTHER_KINDS))
    if len(own) <= MOST_KINDS and OTHER_KINDS not in ever.activities:
        return (*KINDS, *own)
    often = sorted(own, key=lambda kind: (-ever.activities[kind], kind))[:MOST_KINDS]
    return (*KINDS, *sorted(often), OTHER_KINDS)


def _stages(policy: Policy, ever: Partial) -> tuple[tuple[str, str], ...]:
    """The stages of the policy's first pipeline, and of every other one that the rep ever worked in."""
    first = next(iter(policy.pipelines), None)
    mine = [pipeline for pipeline in policy.pipelines if pipeline == first or pipeline in ever.stages]
    return tuple((pipeline, stage) for pipeline in mine for stage in policy.pipelines[pipeline])


def _count(name: str, meaning: str, field: str, divisor: int = 1) -> Family:
    """A family of one field in every window."""

    def values(_layout: Layout, sums: Sums) -> list[Value]:
        if divisor == 1:
            return [getattr(part, field) for part in sums]
        return [getattr(part, field) / divisor for part in sums]

    return Family(name, meaning, lambda _: _WINDOW_LABELS, values, bits_of(field))


def _activity_labels(layout: Layout) -> list[Labels]:
    return [(("kind", kind), *window) for kind in layout.kinds for window in _WINDOW_LABELS]


def _activities(layout: Layout, sums: Sums) -> list[Value]:
    listed = layout.kinds[:-1] if layout.kinds[-1] == OTHER_KINDS else layout.kinds
    values: list[Value] = [part.activities.get(kind, 0) for kind in listed for part in sums]
    if listed is not layout.kinds:
        told = [sum(values[place :: len(sums)]) for place in range(len(sums))]
        values.extend(sum(part.activities.values()) - some for part, some in zip(sums, told, strict=True))
    return values


def _bucket_labels(_layout: Layout) -> list[Labels]:
    return [(("window", BUCKETS_WINDOW), ("le", bound)) for bound in _BOUNDS]


def _buckets(_layout: Layout, sums: Sums) -> list[Value]:
    return list(accumulate(sums[_BUCKETS_PLACE].response_buckets)) or [0] * len(_BOUNDS)


def _due_labels(layout: Layout) -> list[Labels]:
    return [
        (("level", level), ("result", result), *window)
        for level in layout.levels
        for result in ("met", "missed")
        for window in _WINDOW_LABELS
    ]


def _due(layout: Layout, sums: Sums) -> list[Value]:
    values: list[Value] = []
    for level in layout.levels:
        values.extend(part.answered_within.get(level, 0) for part in sums)
        values.extend(part.breaches.get(level, 0) for part in sums)
    return values


def _outcome_labels(_layout: Layout) -> list[Labels]:
    return [(("outcome", outcome), *window) for outcome in ("won", "lost") for window in _WINDOW_LABELS]


def _cycle_seconds(_layout: Layout, sums: Sums) -> list[Value]:
    return [*(part.cycle_won_us / _MICRO for part in sums), *(part.cycle_lost_us / _MICRO for part in sums)]


def _cycle_counts(_layout: Layout, sums: Sums) -> list[Value]:
    return [*(part.cycle_won for part in sums), *(part.cycle_lost for part in sums)]


def _stage_labels(layout: Layout) -> list[Labels]:
    return [
        (("pipeline", pipeline), ("stage", stage), *window)
        for pipeline, stage in layout.stages
        for window in _WINDOW_LABELS
    ]


_NEVER = (0, 0, 0)


def _stage(name: str, meaning: str, place: int) -> Family:
    def values(layout: Layout, sums: Sums) -> list[Value]:
        pipelines = {name: [part.stages.get(name, {}) for part in sums] for name, _ in layout.stages}
        return [counts.get(stage, _NEVER)[place] for name, stage in layout.stages for counts in pipelines[name]]

    return Family(name, meaning, _stage_labels, values, bits_of("stages"))


FAMILIES = (
    Family("crm_activities", "Activities logged.", _activity_labels, _activities, bits_of("activities")),
    _count(
        "crm_recontactable_customers",
        "Distinct customers won for a second contact.",
        "recontactable_customers",
    ),
    _count("crm_responses", "Turns answered by the rep.", "responses"),
    _count(
        "crm_response_seconds_sum",
        "Seconds that customers waited for the rep's responses, in calendar time.",
        "response_us",
        _MICRO,
    ),
    _count(
        "crm_customers_answered",
        "Distinct customers answered: crm_response_seconds_sum / this is the response time per customer.",
        "customers_answered",
    ),
    Family(
        "crm_response_seconds_bucket",
        "Responses that took at most le seconds.",
        _bucket_labels,
        _buckets,
        bits_of("response_buckets"),
    ),
    Family(
        "crm_requests_due",
        "Turns judged at min(answer, deadline), by level and result.",
        _due_labels,
        _due,
        bits_of("answered_within", "breaches"),
    ),
    _count("crm_opportunities_created", "Opportunities created.", "opportunities_created"),
    _count("crm_opportunities_won", "Opportunities won, by close day.", "won"),
    _count("crm_opportunities_lost", "Opportunities lost, by close day.", "lost"),
    _count(
        "crm_opportunities_created_won",
        "Opportunities won since, by creation day.",
        "created_won",
    ),
    _count(
        "crm_won_amount",
        "Amount won, by close day; the currency is in crm_currency_info.",
        "won_cents",
        100,
    ),
    Family(
        "crm_sales_cycle_seconds_sum",
        "Seconds from first follow-up to close.",
        _outcome_labels,
        _cycle_seconds,
        bits_of("cycle_won_us", "cycle_lost_us"),
    ),
    Family(
        "crm_sales_cycle_seconds_count",
        "Closes in crm_sales_cycle_seconds_sum.",
        _outcome_labels,
        _cycle_counts,
        bits_of("cycle_won", "cycle_lost"),
    ),
    _stage(
        "crm_stage_entered",
        "Opportunities that reached the stage, passing it by included, by the day they did.",
        0,
    ),
    _stage("crm_stage_visited", "Opportunities actually ever in the stage.", 1),
    _stage(
        "crm_stage_advanced",
        "Of crm_stage_entered, those that went further: conversion = advanced / entered.",
        2,
    ),
)
"""Summed over windows; each has the labels rep and team before its own."""
