"""The report's families of numbers from a summed partial: what people read about one subject and window.

Ratios without a denominator are None, never 0. Money is text with two decimal places, in the policy's currency.
"""

from collections.abc import Collection, Mapping, Sequence
from fractions import Fraction

import msgspec

from processors.core.folds.activity_kinds import within_bounds
from processors.core.state.money import amount_text
from processors.core.time.instants import SECOND_US
from schemas.policy import KINDS
from schemas.views import RESPONSE_BUCKETS_SECONDS, Partial, Segment

Quantiles = tuple[float | None, float | None]
"""p50 and p90 of the response time in seconds."""


class StageNumbers(msgspec.Struct, gc=False):
    """One stage of a pipeline (S20): conversion = advanced / entered."""

    entered: int
    visited: int
    advanced: int
    conversion: float | None


class Numbers(msgspec.Struct, gc=False):
    """All numbers of one rep, team or company and one window; its JSON is the report's shape. Durations in seconds."""

    activities: dict[str, int]
    recontactable_customers: int
    responses: int
    customers_answered: int
    response_seconds_sum: float
    response_seconds_per_turn: float | None
    response_seconds_per_customer: float | None
    response_seconds_p50: float | None
    response_seconds_p90: float | None
    business_seconds_sum: float
    hold_seconds_sum: float
    answered_within: dict[str, int]
    breaches: dict[str, int]
    closed_unanswered: dict[str, int]
    opportunities_created: int
    won: int
    lost: int
    created_won: int
    win_rate_created: float | None
    win_rate_closed: float | None
    won_amount: str
    sales_cycle_won_seconds: float | None
    sales_cycle_lost_seconds: float | None
    cycle_fallbacks: int
    cycle_negative: int
    stages: dict[str, dict[str, StageNumbers]]


class SegmentNumbers(msgspec.Struct, gc=False):
    """The customers of one segment (S26)."""

    customers: int
    revenue: str
    cost: str
    lifetime_value: str | None


def ratio(part: float, whole: float) -> float | None:
    """A quotient; None when there is nothing to divide by."""
    return part / whole if whole else None


def numbers_of(
    partial: Partial,
    levels: Sequence[str],
    pipelines: Mapping[str, Sequence[str]],
    quantiles: Quantiles | None = None,
    kinds: Collection[str] = KINDS,
) -> Numbers:
    """The measures of a summed partial. Without exact quantiles they are estimated from the histogram.

    `kinds`: those of activities that the policy lists.
    """
    p50, p90 = quantiles or (estimate(partial.response_buckets, 0.5), estimate(partial.response_buckets, 0.9))
    return Numbers(
        activities=_some(within_bounds(partial.activities, kinds)),
        recontactable_customers=partial.recontactable_customers,
        responses=partial.responses,
        customers_answered=partial.customers_answered,
        response_seconds_sum=partial.response_us / SECOND_US,
        response_seconds_per_turn=_mean_seconds(partial.response_us, partial.responses),
        response_seconds_per_customer=_mean_seconds(partial.response_us, partial.customers_answered),
        response_seconds_p50=p50,
        response_seconds_p90=p90,
        business_seconds_sum=partial.business_us / SECOND_US,
        hold_seconds_sum=partial.hold_us / SECOND_US,
        answered_within=_every(partial.answered_within, levels),
        breaches=_every(partial.breaches, levels),
        closed_unanswered=_some(partial.closed_unanswered),
        opportunities_created=partial.opportunities_created,
        won=partial.won,
        lost=partial.lost,
        created_won=partial.created_won,
        win_rate_created=ratio(partial.created_won, partial.opportunities_created),
        win_rate_closed=ratio(partial.won, partial.won + partial.lost),
        won_amount=amount_text(partial.won_cents),
        sales_cycle_won_seconds=_mean_seconds(partial.cycle_won_us, partial.cycle_won),
        sales_cycle_lost_seconds=_mean_seconds(partial.cycle_lost_us, partial.cycle_lost),
        cycle_fallbacks=partial.cycle_fallbacks,
        cycle_negative=partial.cycle_negative,
        stages=stages_of(partial.stages, pipelines),
    )


def stages_of(
    counts: Mapping[str, Mapping[str, Sequence[int]]], pipelines: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, StageNumbers]]:
    """Every configured stage of every configured pipeline in order, then any others that have counts."""
    known = {pipeline: [*stages, *_others(counts.get(pipeline, {}), stages)] for pipeline, stages in pipelines.items()}
    known |= {pipeline: sorted(counts[pipeline]) for pipeline in _others(counts, pipelines)}
    return {
        pipeline: {stage: _stage(counts.get(pipeline, {}).get(stage, (0, 0, 0))) for stage in stages}
        for pipeline, stages in known.items()
    }


def segment_of(segment: Segment) -> SegmentNumbers:
    """Lifetime value = (revenue - cost) / customers, rounded half to even, to the cent (S26)."""
    value = segment.revenue_cents - segment.cost_cents
    customers = segment.customers
    mean = round(Fraction(value, customers)) if customers else None
    return SegmentNumbers(
        customers=customers,
        revenue=amount_text(segment.revenue_cents),
        cost=amount_text(segment.cost_cents),
        lifetime_value=None if mean is None else amount_text(mean),
    )


def estimate(buckets: Sequence[int], share: float) -> float | None:
    """A quantile in seconds, linear inside its bucket; beyond the last bound, that bound. None without observations."""
    count = sum(buckets)
    if not count:
        return None
    rank = share * count
    below, lower = 0, 0.0
    for upper, here in zip(RESPONSE_BUCKETS_SECONDS, buckets, strict=False):
        if here and below + here >= rank:
            return lower + (upper - lower) * (rank - below) / here
        below, lower = below + here, float(upper)
    return lower


def _mean_seconds(total_us: int, count: int) -> float | None:
    return total_us / SECOND_US / count if count else None


def _every(counts: Mapping[str, int], keys: Sequence[str]) -> dict[str, int]:
    """The configured keys in order, at 0 when absent, then any others."""
    return {key: counts.get(key, 0) for key in [*keys, *_others(counts, keys)]}


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    """What is not 0, by name."""
    return {key: counts[key] for key in sorted(counts) if counts[key]}


def _others(counts: Mapping[str, object], known: Sequence[str] | Mapping[str, object]) -> list[str]:
    return sorted(key for key in counts if key not in known)


def _stage(counts: Sequence[int]) -> StageNumbers:
    entered, visited, advanced = counts
    return StageNumbers(entered, visited, advanced, ratio(advanced, entered))
