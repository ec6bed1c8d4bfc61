"""Windows cover the right days, and their sums are exact whatever the order."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.core.reports.window_sums import add, sums, total
from processors.core.time.windows import WINDOWS, in_window, window_start
from schemas.views import RESPONSE_BUCKETS_SECONDS, Partial

counts = st.integers(0, 5)
words = st.sampled_from(["a", "b", "c"])
maps = st.dictionaries(words, counts, max_size=3)
buckets: st.SearchStrategy[list[int]] = st.one_of(st.just([]), st.lists(counts, min_size=9, max_size=9))
stages = st.dictionaries(
    words, st.dictionaries(words, st.lists(counts, min_size=3, max_size=3), max_size=2), max_size=2
)


@st.composite
def partials(draw: st.DrawFn) -> Partial:
    result = Partial(response_buckets=draw(buckets), stages=draw(stages))
    for name in ("activities", "answered_within", "breaches", "closed_unanswered"):
        setattr(result, name, draw(maps))
    for name in Partial.__struct_fields__:
        if isinstance(getattr(result, name), int):
            setattr(result, name, draw(st.integers(-(10**15), 10**15)))
    return result


def raw(partial: Partial) -> bytes:
    return msgspec.json.encode(partial, order="sorted")


@pytest.mark.parametrize(("window", "first"), [("today", 100), ("7d", 94), ("30d", 71), ("365d", -264), ("all", None)])
def test_a_window_of_n_days_begins_n_minus_one_days_before_today(window: str, first: int | None) -> None:
    assert window_start(window, 100) == first


def test_an_unknown_window_is_an_error() -> None:
    with pytest.raises(KeyError):
        window_start("14d", 100)


@given(st.sampled_from(list(WINDOWS)), st.integers(-400, 400), st.integers(-800, 800))
def test_a_longer_window_holds_every_day_of_a_shorter_one(window: str, today: int, day: int) -> None:
    names = list(WINDOWS)
    if in_window(window, today, day):
        assert all(in_window(longer, today, day) for longer in names[names.index(window) :])


@given(st.lists(partials(), max_size=5).flatmap(lambda parts: st.tuples(st.just(parts), st.permutations(parts))))
def test_the_order_of_a_sum_does_not_matter(parts: tuple[list[Partial], list[Partial]]) -> None:
    first, second = parts
    assert raw(total(first)) == raw(total(second))


@given(partials(), partials())
def test_taking_away_undoes_adding_to_the_byte(first: Partial, second: Partial) -> None:
    before = raw(total([first]))
    assert raw(add(add(total([first]), second), second, -1)) == before


@given(partials(), partials())
def test_adding_leaves_the_added_as_it_was(first: Partial, second: Partial) -> None:
    kept = raw(second)
    add(total([first]), second)
    add(total([second]), first)
    assert raw(second) == kept


def test_every_field_of_a_partial_is_summed() -> None:
    one = Partial(response_buckets=[1] * (len(RESPONSE_BUCKETS_SECONDS) + 1), stages={"p": {"s": [1, 2, 3]}})
    for name in Partial.__struct_fields__:
        match getattr(one, name):
            case int():
                setattr(one, name, 7)
            case {}:
                setattr(one, name, getattr(one, name) or {"x": 7})
    double = total([one, one])
    for name in Partial.__struct_fields__:
        assert getattr(double, name) not in (getattr(one, name), 0, {}, []), name


@given(st.dictionaries(st.integers(-500, 20), st.lists(partials(), max_size=2), max_size=6), st.integers(0, 3))
def test_window_sums_are_the_sums_of_the_days_they_cover(days: dict[int, list[Partial]], today: int) -> None:
    for window, got in sums(days, today).items():
        start = window_start(window, today)
        covered = [part for day, parts in days.items() if start is None or day >= start for part in parts]
        assert raw(got) == raw(total(covered))
