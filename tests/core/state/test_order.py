"""The order of facts inside a root (S27): by instant, then by the rank of the kind, then by event_id."""

from bisect import insort

from hypothesis import given
from hypothesis import strategies as st

from processors.core.state.order import RANKS, Entry, discard
from schemas.events import Fact
from tests.story import answered, assigned, opened


def fact_of(kind: int, event_id: str) -> Fact:
    """A request's fact of one of three ranks."""
    if kind == 0:
        return opened(0, event_id=event_id)
    return assigned(0, "alice", event_id=event_id) if kind == 1 else answered(0, event_id=event_id)


facts = st.builds(fact_of, st.integers(0, 2), st.sampled_from(("e1", "e2", "e3", "e4")))
entries = st.builds(Entry, st.integers(-2, 2), facts)


def place(entry: Entry) -> tuple[int, int, str]:
    """What an entry is ordered by, written out."""
    return entry.at_us, RANKS[type(entry.fact)], entry.fact.event_id


@given(entries, entries)
def test_s27_entries_compare_as_their_places_do(one: Entry, other: Entry) -> None:
    assert one.is_after(other) == (place(one) > place(other))
    assert (one < other) == (place(one) < place(other))


@given(st.lists(entries, unique_by=place), st.data())
def test_s27_what_is_discarded_is_gone_and_the_rest_keeps_its_order(found: list[Entry], data: st.DataObject) -> None:
    ordered: list[Entry] = []
    for entry in found:
        insort(ordered, entry)
    assert list(map(place, ordered)) == sorted(map(place, found))
    gone = data.draw(entries)
    discard(ordered, gone)
    assert list(map(place, ordered)) == sorted(place(entry) for entry in found if place(entry) != place(gone))
