"""The families without a rep label: teams, the company, segments, data quality and the read model."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from config.clock import Clock
from processors.board.metrics.families import DEFAULT_WINDOWS, Span, in_windows
from processors.board.metrics.text_format import Labels, Value, family
from processors.board.state.rep_directory import MAX_TEAMS
from processors.board.state.store import Store
from processors.core.folds.lifetime_value_fold import add_segment
from processors.core.state.first_names import OTHER
from processors.core.time.instants import SECOND_US
from schemas.errors import Reason
from schemas.views import Partial, Segment

MAX_SEGMENTS = 100
"""Segments are free text: the largest are exported, the rest together as `_other`."""

DISTINCT = {"customers_answered": "answered", "recontactable_customers": "won for a second contact"}
"""The fields of Partial that count distinct customers, with their words in HELP texts."""


def totals(store: Store, clock: Clock, windows: Sequence[str] = DEFAULT_WINDOWS[Span.DAILY]) -> str:
    """Render the families; `windows`: those of `board.metrics_windows`."""
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
    """Distinct customers of teams and of the company; counts of reps cannot be added up (S11).

    Nor can counts of teams: teams beyond MAX_TEAMS, which share `_other` elsewhere, have no count here.
    """
    named = (team for team in store.team_customers.teams() if store.reps.has_team_series(team))
    teams = {team: in_windows(store.distinct_counts("team", team), windows) for team in islice(named, MAX_TEAMS)}
    company = in_windows(store.distinct_counts("company", ""), windows)
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
    """What is counted under `_other` or `_unknown`, by label. `of_reps`: the labels kind and rep."""
    other = largest_segments(store).get(OTHER, Segment())
    counts = {**of_reps, "segment": other.customers, "team": store.reps.reps_without_team_series()}
    return family(
        "salespulse_folded",
        "What is counted under `_other` or `_unknown`, by label. kind: activities in 7 days; rep: reps; "
        "segment: customers; team: reps.",
        [((("label", label),), count) for label, count in sorted(counts.items())],
    )


def largest_segments(store: Store) -> dict[str, Segment]:
    """The segments with most customers, the rest together as `_other`."""
    segments = store.segments()
    if len(segments) <= MAX_SEGMENTS:
        return segments
    by_size = sorted(segments, key=lambda name: (-segments[name].customers, name))
    largest = [name for name in by_size if name != OTHER][:MAX_SEGMENTS]
    others = [segment for name, segment in segments.items() if name not in set(largest)]
    return {name: segments[name] for name in sorted(largest)} | {OTHER: _together(others)}


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
