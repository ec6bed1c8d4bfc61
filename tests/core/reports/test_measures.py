"""What people read from a summed partial: quotients, quantiles, shares, and nothing where there is nothing."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.core.reports.comparison import MIN_CASES, compare, comparisons, share, without
from processors.core.reports.measures import estimate, numbers_of, segment_of
from schemas.views import RESPONSE_BUCKETS_SECONDS, Partial, Segment

LEVELS = ("1h", "24h")
PIPELINES = {"default": ("first", "second")}
SECOND = 1_000_000


def test_nothing_gives_zeros_and_no_ratio() -> None:
    numbers = msgspec.to_builtins(numbers_of(Partial(), LEVELS, PIPELINES))
    ratios = {name for name, value in numbers.items() if value is None}
    assert ratios == {
        "response_seconds_per_turn",
        "response_seconds_per_customer",
        "response_seconds_p50",
        "response_seconds_p90",
        "win_rate_created",
        "win_rate_closed",
        "sales_cycle_won_seconds",
        "sales_cycle_lost_seconds",
    }
    assert numbers["breaches"] == numbers["answered_within"] == {"1h": 0, "24h": 0}
    assert numbers["won_amount"] == "0.00"
    empty = {"entered": 0, "visited": 0, "advanced": 0, "conversion": None}
    assert numbers["stages"] == {"default": {"first": empty, "second": empty}}


def test_s11_response_time_per_turn_and_per_customer_stand_side_by_side() -> None:
    numbers = numbers_of(Partial(responses=4, customers_answered=2, response_us=10 * SECOND), LEVELS, PIPELINES)
    assert numbers.response_seconds_per_turn == 2.5
    assert numbers.response_seconds_per_customer == 5.0


def test_s23_both_win_rates_are_told_apart() -> None:
    partial = Partial(opportunities_created=8, created_won=2, won=3, lost=1)
    numbers = numbers_of(partial, LEVELS, PIPELINES)
    assert (numbers.win_rate_created, numbers.win_rate_closed) == (0.25, 0.75)


def test_s24_cycles_are_means_over_their_own_closes() -> None:
    partial = Partial(cycle_won=2, cycle_won_us=10 * SECOND, cycle_lost=4, cycle_lost_us=10 * SECOND, won=9)
    numbers = numbers_of(partial, LEVELS, PIPELINES)
    assert (numbers.sales_cycle_won_seconds, numbers.sales_cycle_lost_seconds) == (5.0, 2.5)


def test_s20_conversion_is_advanced_over_entered_and_strange_stages_come_last() -> None:
    partial = Partial(stages={"default": {"old": [1, 1, 0], "first": [4, 3, 1]}, "gone": {"x": [0, 0, 0]}})
    stages = numbers_of(partial, LEVELS, PIPELINES).stages
    assert stages["default"]["first"].conversion == 0.25
    assert list(stages["default"]) == ["first", "second", "old"]
    assert list(stages) == ["default", "gone"]


def test_exact_quantiles_win_over_the_estimate() -> None:
    partial = Partial(responses=1, response_buckets=[1, 0, 0, 0, 0, 0, 0, 0, 0])
    numbers = numbers_of(partial, LEVELS, PIPELINES, (12.0, None))
    assert (numbers.response_seconds_p50, numbers.response_seconds_p90) == (12.0, None)


def test_the_estimate_is_linear_in_the_bucket() -> None:
    buckets = [0, 10, 0, 0, 0, 0, 0, 0, 0]
    assert estimate(buckets, 0.5) == 600
    assert estimate(buckets, 0.9) == pytest.approx(840)


def test_beyond_the_last_bound_the_estimate_is_that_bound() -> None:
    assert estimate([0] * 8 + [3], 0.5) == 259200


@given(st.lists(st.floats(0, 500_000), min_size=1, max_size=60), st.sampled_from([0.5, 0.9]))
def test_the_estimate_lies_in_the_bucket_of_the_true_quantile(waits: list[float], q: float) -> None:
    bounds = [0, *RESPONSE_BUCKETS_SECONDS, float("inf")]
    buckets = [sum(low < wait <= high or (low == wait == 0) for wait in waits) for low, high in pairwise(bounds)]
    rank = q * len(waits)
    true = next(wait for i, wait in enumerate(sorted(waits), 1) if i >= rank)
    got = estimate(buckets, q)
    low, high = next((a, b) for a, b in pairwise(bounds) if a < true <= b or a == true == 0)
    assert got is not None
    assert low <= got <= min(high, RESPONSE_BUCKETS_SECONDS[-1])


@pytest.mark.parametrize(
    ("segment", "value"),
    [
        (Segment(3, 100, 0), "0.33"),
        (Segment(2, 101, 0), "0.50"),
        (Segment(2, 0, 101), "-0.50"),
        (Segment(0, 0, 0), None),
    ],
)
def test_s26_lifetime_value_is_a_mean_to_the_cent(segment: Segment, value: str | None) -> None:
    assert segment_of(segment).lifetime_value == value


def test_s25_the_team_average_is_taken_without_the_rep() -> None:
    rep = Partial(won=10, lost=0)
    team = Partial(won=15, lost=15)
    closed = comparisons(rep, without(team, rep), PIPELINES).win_rate_closed
    assert (closed.rep.ratio, closed.others.ratio) == (1.0, 0.25)
    assert (closed.others.part, closed.others.whole) == (5, 20)
    assert closed.verdict == "above"
    assert team.won == 15


def test_s25_few_opportunities_give_no_verdict() -> None:
    assert compare(share(9, MIN_CASES - 1), share(0, 1000)).verdict is None
    assert compare(share(10, MIN_CASES), share(0, 1000)).verdict == "above"
    assert compare(share(10, 1000), share(5, MIN_CASES - 1)).verdict is None


def test_a_difference_within_chance_is_alike_and_a_large_one_is_not() -> None:
    assert compare(share(11, 20), share(100, 200)).verdict == "alike"
    assert compare(share(20, 200), share(100, 200)).verdict == "below"


def test_s25_stage_conversion_is_compared_pooled() -> None:
    rep = Partial(stages={"default": {"first": [20, 20, 2]}})
    team = Partial(stages={"default": {"first": [220, 220, 150]}})
    first = comparisons(rep, without(team, rep), PIPELINES).stages["default"]["first"]
    assert first.others.ratio == 148 / 200
    assert first.verdict == "below"


def test_nothing_to_compare_has_no_ratio() -> None:
    comparison = compare(share(0, 0), share(3, 20))
    assert (comparison.difference, comparison.verdict, comparison.rep.ratio) == (None, None, None)


@given(st.integers(1, 500).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_the_interval_holds_the_ratio(case: tuple[int, int]) -> None:
    result = share(*case)
    assert result.low is not None
    assert result.high is not None
    assert result.ratio is not None
    assert 0 <= result.low <= result.ratio + 1e-12
    assert result.ratio - 1e-12 <= result.high <= 1


def test_the_wilson_interval_has_the_published_values() -> None:
    result = share(15, 148)
    assert result.low == pytest.approx(0.0624, abs=1e-4)
    assert result.high == pytest.approx(0.1605, abs=1e-4)


def test_newcombes_interval_has_the_published_values() -> None:
    comparison = compare(share(56, 70), share(48, 80))
    assert comparison.low == pytest.approx(0.0524, abs=1e-4)
    assert comparison.high == pytest.approx(0.3339, abs=1e-4)
