"""Distinct customers (S11, S19): on their last days with a rep, a team and the company, whenever that is settled."""

from collections import Counter
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from processors.core.desks import Desk, Desks
from processors.core.directory import Directory
from processors.core.distinct import Days, Distinct
from schemas.events import RepUpdated

TEAMS = {"alice": "north", "bob": "north", "carol": "south"}


class Meeting(NamedTuple):
    """A qualifying fact."""

    customer: int
    rep: str
    day: int


meetings = st.builds(Meeting, st.integers(0, 2), st.sampled_from(sorted(TEAMS)), st.integers(-2, 3))


class Bench:
    """Customers with what counts of them, and the same facts as a list."""

    def __init__(self) -> None:
        directory = Directory()
        for rep, team in TEAMS.items():
            directory.put(RepUpdated(rep_id=rep, name=rep, team=team))
        self.desks = Desks(directory)
        self.distinct = Distinct("recontactable_customers", self.desks)
        self.customers: list[dict[str, Days]] = [{} for _ in range(3)]
        self.met: list[Meeting] = []

    def meet(self, meeting: Meeting) -> None:
        self.met.append(meeting)
        self.distinct.post(self.customers[meeting.customer], meeting.rep, meeting.day, 1)

    def take_back(self, index: int) -> None:
        meeting = self.met.pop(index % len(self.met))
        self.distinct.post(self.customers[meeting.customer], meeting.rep, meeting.day, -1)

    def counted(self) -> dict[tuple[str, str, int], int]:
        """Scope, subject and day to what the partials say."""
        return {
            (desk.scope, desk.subject, day): partial.recontactable_customers
            for desk in self.desks
            for day, partial in desk.days.items()
            if partial.recontactable_customers
        }

    def expected(self) -> dict[tuple[str, str, int], int]:
        """The same, counted anew from the facts."""
        last: dict[tuple[str, str, int], int] = {}
        for customer, rep, day in self.met:
            for scope, subject in (("rep", rep), ("team", TEAMS[rep]), ("company", "")):
                key = (scope, subject, customer)
                last[key] = max(day, last.get(key, day))
        return dict(Counter((scope, subject, day) for (scope, subject, _), day in last.items()))


@given(st.lists(st.one_of(meetings, st.integers(0, 99), st.none()), max_size=30))
def test_s19_customers_count_once_on_their_last_days_whenever_that_is_settled(
    steps: list[Meeting | int | None],
) -> None:
    bench = Bench()
    for step in [*steps, None]:
        if isinstance(step, Meeting):
            bench.meet(step)
        elif step is None:
            bench.distinct.settle()
            assert bench.counted() == bench.expected()
        elif bench.met:
            bench.take_back(step)


def test_s19_a_customer_who_comes_back_moves_once_a_reading() -> None:
    bench = Bench()
    for day in range(3):
        bench.meet(Meeting(0, "alice", day))
    assert bench.counted() == {}
    bench.distinct.settle()
    touched: set[tuple[str, int]] = {(desk.scope, day) for desk in bench.desks for day in desk.changed}
    assert touched == {("rep", 2), ("team", 2), ("company", 2)}


def test_a_team_that_changes_meanwhile_is_a_matter_of_folding_anew() -> None:
    directory = Directory()
    directory.put(RepUpdated(rep_id="alice", name="Alice", team="north"))
    desks = Desks(directory)
    distinct, by_rep = Distinct("customers_answered", desks), dict[str, Days]()
    distinct.post(by_rep, "alice", 1, 1)
    distinct.settle()
    directory.put(RepUpdated(rep_id="alice", name="Alice", team="south"))
    distinct.post(by_rep, "alice", 2, 1)
    distinct.settle()
    north, south = desks.find("team", "north"), desks.find("team", "south")
    assert isinstance(north, Desk)
    assert {day: partial.customers_answered for day, partial in north.days.items()} == {1: 0, 2: 1}
    assert south is None
