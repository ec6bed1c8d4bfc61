"""A tally's sums are those of a plain sum over its partials, whatever happened before."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from processors.board.state.rolling_sums import WindowSums
from processors.core.reports.window_sums import sums
from processors.core.time.windows import WINDOWS
from schemas.views import Partial

TODAY = 20_000

small = st.integers(0, 9)
partials = st.builds(
    Partial,
    activities=st.dictionaries(st.sampled_from("ab"), small, max_size=2),
    responses=small,
    response_buckets=st.one_of(st.just([]), st.lists(small, min_size=9, max_size=9)),
    stages=st.dictionaries(
        st.just("p"), st.dictionaries(st.sampled_from("xy"), st.lists(small, min_size=3, max_size=3))
    ),
)
days = st.one_of(st.integers(TODAY - 9, TODAY + 3), st.integers(TODAY - 500, TODAY + 40))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 2), days, st.one_of(st.none(), partials)),
        st.tuples(st.just("read"), st.just(0), st.integers(-3, 60), st.none()),
    ),
    max_size=25,
)


def raw(partial: Partial) -> bytes:
    return msgspec.msgpack.encode(partial, order="sorted")


@given(steps)
def test_after_any_changes_and_any_days_the_sums_are_right(
    course: list[tuple[str, int, int, Partial | None]],
) -> None:
    tally, truth, today = WindowSums(), dict[tuple[int, int], Partial](), TODAY
    for step, partition, day, partial in [*course, ("read", 0, 0, None)]:
        if step == "put":
            tally.put(partition, day, None if partial is None else raw(partial))
            truth.pop((partition, day), None)
            if partial is not None:
                truth[partition, day] = partial
            continue
        today += day
        by_day: dict[int, list[Partial]] = {}
        for (_, when), part in truth.items():
            by_day.setdefault(when, []).append(part)
        expected = sums(by_day, today)
        assert [raw(part) for part in tally.ending_on(today)] == [raw(expected[window]) for window in WINDOWS]


def test_the_same_value_again_is_no_news() -> None:
    tally, value = WindowSums(), raw(Partial(responses=1))
    assert tally.put(0, 5, value)
    assert not tally.put(0, 5, value)
    assert tally.put(0, 5, None)
    assert not tally.put(0, 5, None)
    assert not tally


def test_days_are_listed_by_partition() -> None:
    tally = WindowSums()
    for partition, day in ((0, 5), (0, -3), (1, 9)):
        tally.put(partition, day, raw(Partial(responses=1)))
    assert sorted(tally.days(0)) == [-3, 5]
    assert sorted(tally.days(1)) == [9]
