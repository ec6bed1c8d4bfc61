"""The metrics that belong to no rep: rendered at every scrape."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from config.clock import Clock
from processors.board.directory import MAX_TEAMS
from processors.board.families import DEFAULT_WINDOWS, Labels, Span, Value, in_windows
from processors.board.store import Store
from processors.board.text import family
from processors.core.instants import SECOND_US
from processors.core.names import OTHER
from processors.core.worth import add_segment
from schemas.errors import Reason
from schemas.views import Partial, Segment

MOST_SEGMENTS = 100
"""Segments are free words: the largest so many are told, the others together as `_other`."""

DISTINCT = {"customers_answered": "answered", "recontactable_customers": "won for a second contact"}
"""The fields of Partial that count distinct customers, and what was done with them."""


def totals(store: Store, clock: Clock, windows: Sequence[str] = DEFAULT_WINDOWS[Span.DAILY]) -> str:
    """What belongs to no rep; `windows`: those of `board.metrics_windows`."""
    return "".join(
        (
            family("crm_currency_info", "The currency of every amount.", [((("currency", store.policy.currency),), 1)]),
            *_customers(store, windows),
            *_money(largest_segments(store)),
            family("crm_data_quality", "Records by what was wrong with them.", _quality(store)),
            family(
                "salespulse_read_model_timestamp_seconds",
                "The newest event time published; 0: no event yet.",
                _published(store, clock),
            ),
            family(
                "salespulse_read_model_position_records",
                "Up to where a source partition is published, in records since its beginning.",
                (((("partition", name),), published.offset) for name, published in sorted(store.partitions.items())),
            ),
        )
    )


def _customers(store: Store, windows: Sequence[str]) -> Iterator[str]:
    """Distinct customers of teams and of the company: those of their reps cannot be added up (S11).

    Nor can those of teams: the teams beyond the cap, which share `_other` elsewhere, have no count here.
    """
    named = (team for team in store.customers.teams() if store.reps.is_named(team))
    teams = {team: in_windows(tuple(store.distinct("team", team)), windows) for team in islice(named, MAX_TEAMS)}
    company = in_windows(tuple(store.distinct("company", "")), windows)
    for field, what in DISTINCT.items():
        by_team = [
            ((("team", team), *label), value)
            for team in teams
            for label, value in _windows(teams[team], windows, field)
        ]
        meaning = f"Distinct customers {what}, each in the window of any of the reps."
        yield family(f"crm_team_{field}", meaning, by_team)
        yield family(f"crm_company_{field}", meaning, _windows(company, windows, field))


def _windows(sums: Sequence[Partial], windows: Sequence[str], field: str) -> list[tuple[Labels, Value]]:
    return [((("window", window),), getattr(part, field)) for window, part in zip(windows, sums, strict=True)]


def _money(segments: dict[str, Segment]) -> Iterator[str]:
    yield family(
        "crm_customers",
        "Customers with any revenue or cost, by present segment.",
        _by_segment(segments, "customers"),
    )
    yield family(
        "crm_customer_revenue_amount",
        "Revenue from them; refunds are taken off.",
        _by_segment(segments, "revenue_cents", 100),
    )
    yield family(
        "crm_customer_cost_amount",
        "Cost of them: lifetime value = (revenue - cost) / customers.",
        _by_segment(segments, "cost_cents", 100),
    )


def _by_segment(segments: dict[str, Segment], field: str, divisor: int = 1) -> Iterator[tuple[Labels, Value]]:
    for name, segment in segments.items():
        value = getattr(segment, field)
        yield (("segment", name),), value if divisor == 1 else value / divisor


def folded(store: Store, of_reps: dict[str, int]) -> str:
    """What has no series of its own: by label, in what the label's value counts."""
    other = largest_segments(store).get(OTHER, Segment())
    counts = {**of_reps, "segment": other.customers, "team": store.reps.without_team()}
    return family(
        "salespulse_folded",
        "What is counted under `_other` or `_unknown`, by label. kind: activities in 7 days; rep: reps; "
        "segment: customers; team: reps.",
        [((("label", label),), count) for label, count in sorted(counts.items())],
    )


def largest_segments(store: Store) -> dict[str, Segment]:
    """The segments with most customers, the others together."""
    segments = store.segments()
    if len(segments) <= MOST_SEGMENTS:
        return segments
    by_size = sorted(segments, key=lambda name: (-segments[name].customers, name))
    told = [name for name in by_size if name != OTHER][:MOST_SEGMENTS]
    others = [segment for name, segment in segments.items() if name not in set(told)]
    return {name: segments[name] for name in sorted(told)} | {OTHER: _together(others)}


def _together(segments: Iterable[Segment]) -> Segment:
    result = Segment()
    for segment in segments:
        add_segment(result, segment)
    return result


def _quality(store: Store) -> Iterator[tuple[Labels, Value]]:
    quality = store.quality()
    reasons = sorted({reason for counts in quality.values() for reason in counts} | set(map(str, Reason)))
    for reason in reasons:
        for window, counts in quality.items():
            yield (("reason", reason), ("window", window)), counts.get(reason, 0)


def _published(store: Store, clock: Clock) -> Iterator[tuple[Labels, Value]]:
    for partition, published in sorted(store.partitions.items()):
        at_us = max(clock.to_wall_us(published.stream_us), 0) if published.stream_us > 0 else 0
        yield (("partition", partition),), at_us / SECOND_US
