"""The exact sum of partials over the days of each window."""

from collections.abc import Iterable, Mapping

from processors.core.time.windows import WINDOWS, in_window
from schemas.views import RESPONSE_BUCKETS_SECONDS, Partial

_BUCKETS = len(RESPONSE_BUCKETS_SECONDS) + 1


def add(into: Partial, part: Partial, sign: int = 1) -> Partial:
    """Add a partial to a sum in place, or take it away with sign -1; exact. Returns the sum.

    A count that comes to nothing is forgotten, so that equal sums are equal whatever way led to them.
    """
    _add_scalars(into, part, sign)
    _add_counts(into.activities, part.activities, sign)
    _add_counts(into.answered_within, part.answered_within, sign)
    _add_counts(into.breaches, part.breaches, sign)
    _add_counts(into.closed_unanswered, part.closed_unanswered, sign)
    if part.response_buckets:
        _add_buckets(into, part.response_buckets, sign)
    if part.stages:
        _add_stages(into.stages, part.stages, sign)
    return into


def total(parts: Iterable[Partial]) -> Partial:
    """The sum of partials, which stay as they are."""
    result = Partial()
    for part in parts:
        add(result, part)
    return result


def sums(days: Mapping[int, Iterable[Partial]], today: int) -> dict[str, Partial]:
    """The sum of each window over the partials of each day."""
    result = {window: Partial() for window in WINDOWS}
    for day, parts in days.items():
        part = total(parts)
        for window, into in result.items():
            if in_window(window, today, day):
                add(into, part)
    return result


def _add_scalars(into: Partial, part: Partial, sign: int) -> None:
    """One line each: a loop over their names takes four times as long, and boards add up by the million."""
    into.recontactable_customers += sign * part.recontactable_customers
    into.responses += sign * part.responses
    into.customers_answered += sign * part.customers_answered
    into.response_us += sign * part.response_us
    into.business_us += sign * part.business_us
    into.hold_us += sign * part.hold_us
    into.opportunities_created += sign * part.opportunities_created
    into.created_won += sign * part.created_won
    into.won += sign * part.won
    into.lost += sign * part.lost
    into.won_cents += sign * part.won_cents
    into.cycle_won_us += sign * part.cycle_won_us
    into.cycle_won += sign * part.cycle_won
    into.cycle_lost_us += sign * part.cycle_lost_us
    into.cycle_lost += sign * part.cycle_lost
    into.cycle_fallbacks += sign * part.cycle_fallbacks
    into.cycle_negative += sign * part.cycle_negative


def _add_counts(into: dict[str, int], counts: dict[str, int], sign: int) -> None:
    for key, count in counts.items():
        value = into.get(key, 0) + sign * count
        if value:
            into[key] = value
        else:
            into.pop(key, None)


def _add_buckets(into: Partial, buckets: list[int], sign: int) -> None:
    known = into.response_buckets or [0] * _BUCKETS
    counts = [mine + sign * other for mine, other in zip(known, buckets, strict=True)]
    into.response_buckets = counts if any(counts) else []


def _add_stages(into: dict[str, dict[str, list[int]]], stages: dict[str, dict[str, list[int]]], sign: int) -> None:
    for pipeline, counts in stages.items():
        mine = into.setdefault(pipeline, {})
        for stage, (entered, visited, advanced) in counts.items():
            known = mine.setdefault(stage, [0, 0, 0])
            known[0] += sign * entered
            known[1] += sign * visited
            known[2] += sign * advanced
            if not any(known):
                del mine[stage]
        if not mine:
            del into[pipeline]
