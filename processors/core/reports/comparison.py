"""A rep beside the team: pooled ratios, the team without that rep, and no verdict from few opportunities (S25)."""

from collections.abc import Mapping, Sequence
from math import hypot, sqrt
from typing import Literal

import msgspec

from processors.core.reports.window_sums import add, total
from schemas.views import Partial

Verdict = Literal["above", "below", "alike"]

MIN_CASES = 10
"""With fewer cases on either side there is no verdict."""

_Z = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval."""


class Share(msgspec.Struct, gc=False):
    """A ratio with the cases behind it and its 95 % Wilson interval; all None without cases."""

    part: int
    whole: int
    ratio: float | None
    low: float | None
    high: float | None


class Comparison(msgspec.Struct, gc=False):
    """A rep's ratio beside that of the others; the verdict is None with fewer than 10 cases on either side."""

    rep: Share
    others: Share
    difference: float | None
    low: float | None
    high: float | None
    """The 95 % interval of the difference (Newcombe's hybrid score)."""
    verdict: Verdict | None


class Comparisons(msgspec.Struct, gc=False):
    """All compared ratios of a rep in one window."""

    win_rate_created: Comparison
    win_rate_closed: Comparison
    stages: dict[str, dict[str, Comparison]]


def share(part: int, whole: int) -> Share:
    """A ratio with its Wilson interval."""
    return Share(part, whole, *_wilson(part, whole)) if whole > 0 else Share(part, whole, None, None, None)


def compare(rep: Share, others: Share) -> Comparison:
    """A rep's share beside that of the others."""
    if min(rep.whole, others.whole) <= 0:
        return Comparison(rep, others, None, None, None, None)
    p, p_low, p_high = _wilson(rep.part, rep.whole)
    q, q_low, q_high = _wilson(others.part, others.whole)
    low = p - q - hypot(p - p_low, q_high - q)
    high = p - q + hypot(p_high - p, q - q_low)
    enough = min(rep.whole, others.whole) >= MIN_CASES
    return Comparison(rep, others, p - q, low, high, _verdict(low, high) if enough else None)


def without(team: Partial, rep: Partial) -> Partial:
    """A team's sum without that of one of its reps."""
    return add(total([team]), rep, -1)


def comparisons(rep: Partial, others: Partial, pipelines: Mapping[str, Sequence[str]]) -> Comparisons:
    """A rep's sum beside the sum of the others in its team."""
    return Comparisons(
        win_rate_created=compare(
            share(rep.created_won, rep.opportunities_created), share(others.created_won, others.opportunities_created)
        ),
        win_rate_closed=compare(share(rep.won, rep.won + rep.lost), share(others.won, others.won + others.lost)),
        stages={
            pipeline: {stage: _stage(rep, others, pipeline, stage) for stage in stages}
            for pipeline, stages in pipelines.items()
        },
    )


def _wilson(part: int, whole: int) -> tuple[float, float, float]:
    """The ratio and its 95 % interval, which stays within 0 and 1."""
    observed, square = part / whole, _Z * _Z
    middle = (observed + square / (2 * whole)) / (1 + square / whole)
    spread = _Z / (1 + square / whole) * sqrt(observed * (1 - observed) / whole + square / (4 * whole * whole))
    return observed, max(middle - spread, 0.0), min(middle + spread, 1.0)


def _verdict(low: float, high: float) -> Verdict:
    if low > 0:
        return "above"
    return "below" if high < 0 else "alike"


def _stage(rep: Partial, others: Partial, pipeline: str, stage: str) -> Comparison:
    return compare(_advanced(rep, pipeline, stage), _advanced(others, pipeline, stage))


def _advanced(partial: Partial, pipeline: str, stage: str) -> Share:
    entered, _, advanced = partial.stages.get(pipeline, {}).get(stage, (0, 0, 0))
    return share(advanced, entered)
