"""The metric families of a rep that are sums over windows: names, HELP texts, label sets and values.

Label sets and values are two lists in the same order: the text around the values is the same for all reps with the same
layout, and is made once.

With the shipped policy and settings a rep has at most MAX_REP_SERIES series, whatever producers write. Families are
exported only for the windows that rules and dashboards use; the API has every number in every window.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from itertools import accumulate
from typing import NamedTuple

from processors.board.metrics.text_format import Labels, Value
from processors.board.state.rolling_sums import Sums, bits_of
from processors.core.state.first_names import OTHER
from processors.core.time.windows import WINDOWS
from schemas.policy import Policy
from schemas.views import RESPONSE_BUCKETS_SECONDS, Partial

MAX_REP_SERIES = 80
"""Series of one rep with the shipped policy and settings, as a test verifies."""
BUCKETS_WINDOW = "7d"
"""The only window for which the histogram of response times is exported."""
BOUNDS_SECONDS = (300, 900, 3600, 14400, 28800, 86400)
"""The exported ones of RESPONSE_BUCKETS_SECONDS. Buckets are cumulative, so some may be left out."""
BEFORE_FIRST_STAGE = "_none"

_MICRO = 1_000_000
_BOUNDS = (*map(str, BOUNDS_SECONDS), "+Inf")
_BOUND_INDEXES = (*map(RESPONSE_BUCKETS_SECONDS.index, BOUNDS_SECONDS), len(RESPONSE_BUCKETS_SECONDS))


class Span(Enum):
    """The setting, or the window, that decides for which windows a family is exported."""

    DAILY = "board.metrics_windows"
    """Activities and responses."""
    PIPELINE = "board.metrics_pipeline_windows"
    """Opportunities, which move within weeks rather than days."""
    WEEK = BUCKETS_WINDOW


Windows = dict[Span, tuple[str, ...]]
DEFAULT_WINDOWS: Windows = {
    Span.DAILY: ("today", "7d", "30d"),
    Span.PIPELINE: ("30d",),
    Span.WEEK: (BUCKETS_WINDOW,),
}


def windows_of(daily: Iterable[str], pipeline: Iterable[str]) -> Windows:
    """The windows of the settings without duplicates, the shortest first."""
    chosen = {Span.DAILY: set(daily), Span.PIPELINE: set(pipeline), Span.WEEK: {BUCKETS_WINDOW}}
    return {span: tuple(window for window in WINDOWS if window in some) for span, some in chosen.items()}


def in_windows(sums: Sequence[Partial], windows: Sequence[str]) -> Sums:
    """The sums of some windows."""
    return tuple(part for window, part in zip(WINDOWS, sums, strict=True) if window in windows)


class Layout(NamedTuple):
    """What determines the label sets of a rep."""

    levels: tuple[str, ...]
    kinds: tuple[str, ...]
    stages: tuple[tuple[str, str], ...]
    """(pipeline, stage)"""


class Family(NamedTuple):
    """A metric family of a rep."""

    name: str
    meaning: str
    labels: Callable[[Layout, Sequence[Labels]], Sequence[Labels]]
    """The label sets for a layout and the labels of the windows."""
    values: Callable[[Layout, Sums], list[Value]]
    reads: int
    """The fields of Partial that it depends on, as bits."""
    span: Span = Span.DAILY
    is_distinct: bool = False
    """Whether it counts distinct customers, which cannot be summed over reps (S11)."""


def window_labels(windows: Sequence[str]) -> Sequence[Labels]:
    """The label set of each window."""
    return [(("window", window),) for window in windows]


def layout_of(policy: Policy, levels: tuple[str, ...], sums: Sums) -> Layout:
    """The layout of a rep, from all that it ever did: the last window is `all`."""
    return Layout(levels, policy.kinds, _stages(policy, sums[-1]))


def _stages(policy: Policy, ever: Partial) -> tuple[tuple[str, str], ...]:
    """The stages of the policy's first pipeline, and of every other one that the rep ever worked in."""
    first = next(iter(policy.pipelines), None)
    mine = [pipeline for pipeline in policy.pipelines if pipeline == first or pipeline in ever.stages]
    return tuple((pipeline, stage) for pipeline in mine for stage in policy.pipelines[pipeline])


def _count(
    name: str, meaning: str, field: str, divisor: int = 1, span: Span = Span.DAILY, *, is_distinct: bool = False
) -> Family:
    """A family that exports one field of Partial."""

    def values(_layout: Layout, sums: Sums) -> list[Value]:
        if divisor == 1:
            return [getattr(part, field) for part in sums]
        return [getattr(part, field) / divisor for part in sums]

    return Family(name, meaning, lambda _, windows: windows, values, bits_of(field), span, is_distinct)


def _activity_labels(layout: Layout, windows: Sequence[Labels]) -> list[Labels]:
    return [(("kind", kind), *window) for kind in (*layout.kinds, OTHER) for window in windows]


def _activities(layout: Layout, sums: Sums) -> list[Value]:
    """Activities by kind. Kinds that the policy does not list are free text: they are counted as `_other`."""
    values: list[Value] = [part.activities.get(kind, 0) for kind in layout.kinds for part in sums]
    listed = [sum(values[index :: len(sums)]) for index in range(len(sums))]
    values.extend(sum(part.activities.values()) - some for part, some in zip(sums, listed, strict=True))
    return values


def _bucket_labels(_layout: Layout, windows: Sequence[Labels]) -> list[Labels]:
    return [(*window, ("le", bound)) for window in windows for bound in _BOUNDS]


def _buckets(_layout: Layout, sums: Sums) -> list[Value]:
    (part,) = sums
    running = list(accumulate(part.response_buckets))
    return [running[index] for index in _BOUND_INDEXES] if running else [0] * len(_BOUNDS)


def _due_labels(layout: Layout, windows: Sequence[Labels]) -> list[Labels]:
    return [
        (("level", level), ("result", result), *window)
        for level in layout.levels
        for result in ("met", "missed")
        for window in windows
    ]


def _due(layout: Layout, sums: Sums) -> list[Value]:
    values: list[Value] = []
    for level in layout.levels:
        values.extend(part.answered_within.get(level, 0) for part in sums)
        values.extend(part.breaches.get(level, 0) for part in sums)
    return values


def _outcome_labels(_layout: Layout, windows: Sequence[Labels]) -> list[Labels]:
    return [(("outcome", outcome), *window) for outcome in ("won", "lost") for window in windows]


def _cycle_seconds(_layout: Layout, sums: Sums) -> list[Value]:
    return [*(part.cycle_won_us / _MICRO for part in sums), *(part.cycle_lost_us / _MICRO for part in sums)]


def _cycle_counts(_layout: Layout, sums: Sums) -> list[Value]:
    return [*(part.cycle_won for part in sums), *(part.cycle_lost for part in sums)]


def _stage_labels(layout: Layout, windows: Sequence[Labels]) -> list[Labels]:
    return [
        (("pipeline", pipeline), ("stage", stage), *window) for pipeline, stage in layout.stages for window in windows
    ]


_NEVER = (0, 0, 0)


def _stage(name: str, meaning: str, index: int) -> Family:
    def values(layout: Layout, sums: Sums) -> list[Value]:
        pipelines = {name: [part.stages.get(name, {}) for part in sums] for name, _ in layout.stages}
        return [counts.get(stage, _NEVER)[index] for name, stage in layout.stages for counts in pipelines[name]]

    return Family(name, meaning, _stage_labels, values, bits_of("stages"), Span.PIPELINE)


FAMILIES = (
    Family("crm_activities", "Activities logged.", _activity_labels, _activities, bits_of("activities")),
    _count(
        "crm_recontactable_customers",
        "Distinct customers won for a second contact.",
        "recontactable_customers",
        is_distinct=True,
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
        is_distinct=True,
    ),
    Family(
        "crm_response_seconds_bucket",
        "Responses that took at most le seconds.",
        _bucket_labels,
        _buckets,
        bits_of("response_buckets"),
        Span.WEEK,
    ),
    Family(
        "crm_requests_due",
        "Turns judged at min(answer, deadline), by level and result.",
        _due_labels,
        _due,
        bits_of("answered_within", "breaches"),
    ),
    _count("crm_opportunities_created", "Opportunities created.", "opportunities_created", span=Span.PIPELINE),
    _count("crm_opportunities_won", "Opportunities won, by close day.", "won", span=Span.PIPELINE),
    _count("crm_opportunities_lost", "Opportunities lost, by close day.", "lost", span=Span.PIPELINE),
    _count(
        "crm_opportunities_created_won",
        "Opportunities won since, by creation day.",
        "created_won",
        span=Span.PIPELINE,
    ),
    _count(
        "crm_won_amount",
        "Amount won, by close day; the currency is in crm_currency_info.",
        "won_cents",
        100,
        Span.PIPELINE,
    ),
    Family(
        "crm_sales_cycle_seconds_sum",
        "Seconds from first follow-up to close.",
        _outcome_labels,
        _cycle_seconds,
        bits_of("cycle_won_us", "cycle_lost_us"),
        Span.PIPELINE,
    ),
    Family(
        "crm_sales_cycle_seconds_count",
        "Closes in crm_sales_cycle_seconds_sum.",
        _outcome_labels,
        _cycle_counts,
        bits_of("cycle_won", "cycle_lost"),
        Span.PIPELINE,
    ),
    _stage(
        "crm_stage_entered",
        "Opportunities that reached the stage, passing it by included, by the day they did.",
        0,
    ),
    _stage(
        "crm_stage_advanced",
        "Of crm_stage_entered, those that went further: conversion = advanced / entered.",
        2,
    ),
)
"""Each has the labels rep and team before its own."""
