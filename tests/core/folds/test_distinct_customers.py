"""Distinct customers (S11, S19) count on their last days with a rep, a team and the company."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from processors.core.folds.distinct_customers import DistinctCustomers
from processors.core.folds.scoreboards import Scoreboard, Scoreboards
from processors.core.state.directory import Directory
from processors.core.state.qualified_days import QualifiedDays
from processors.core.time.last_days import today_in
from processors.core.time.zones import zone_days
from schemas.events import RepUpdated
from schemas.views import Scope

DAY_US = 86_400_000_000
TEAMS = {
    "alice": ("north", "Europe/Berlin"),
    "bob": ("north", "America/New_York"),
    "carol": ("south", "Pacific/Pago_Pago"),
    "dave": ("south", "Pacific/Chatham"),
}
INSTANTS_US = [day * DAY_US + hour * DAY_US // 24 for day in range(-3, 5) for hour in range(0, 24, 3)]

Counts = dict[tuple[str, str, int], int]
"""Scope, subject and instant to customers of that local day, or of later ones."""
POOLED: tuple[tuple[Scope, str], ...] = (("team", "north"), ("team", "south"), ("company", ""))


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
        for rep, (team, zone) in TEAMS.items():
            directory.put(RepUpdated(rep_id=rep, name=rep, team=team, time_zone=zone))
        self.scoreboards = Scoreboards(directory)
        self.distinct = DistinctCustomers("recontactable_customers", self.scoreboards)
        self.customers: list[dict[str, QualifiedDays]] = [{} for _ in range(3)]
        self.met: list[Meeting] = []

    def meet(self, meeting: Meeting) -> None:
        self.met.append(meeting)
        self.distinct.count(self.customers[meeting.customer], meeting.rep, meeting.day, 1)

    def take_back(self, index: int) -> None:
        meeting = self.met.pop(index % len(self.met))
        self.distinct.count(self.customers[meeting.customer], meeting.rep, meeting.day, -1)

    def counted(self) -> Counts:
        """What the partials say."""
        counts: Counts = {}
        for scoreboard in self.scoreboards.reps.values():
            self._count(counts, scoreboard, scoreboard.subject, scoreboard.zone.name)
        for scope, subject in POOLED:
            for zones, scoreboard in self.scoreboards.by_zones(scope, subject).items():
                self._count(counts, scoreboard, subject, zones)
        return counts

    def _count(self, counts: Counts, scoreboard: Scoreboard, subject: str, zones: str) -> None:
        for at_us in INSTANTS_US:
            today = today_in(zones, at_us)
            found = sum(partial.recontactable_customers for day, partial in scoreboard.days.items() if day >= today)
            if found:
                key = (scoreboard.scope, subject, at_us)
                counts[key] = counts.get(key, 0) + found

    def expected(self) -> Counts:
        """The same, counted anew from the facts: who was met on the today of the rep, or later."""
        met: dict[tuple[str, str, int], set[int]] = {}
        for customer, rep, day in self.met:
            team, zone = TEAMS[rep]
            for at_us in INSTANTS_US:
                if day >= zone_days(zone).day(at_us):
                    for scope, subject in (("rep", rep), ("team", team), ("company", "")):
                        met.setdefault((scope, subject, at_us), set()).add(customer)
        return {key: len(customers) for key, customers in met.items()}


@given(st.lists(st.one_of(meetings, st.integers(0, 99), st.none()), max_size=30))
def test_s19_customers_count_once_on_their_last_days_whenever_that_is_settled(
    steps: list[Meeting | int | None],
) -> None:
    bench = Bench()
    for step in [*steps, None]:
        if isinstance(step, Meeting):
            bench.meet(step)
        elif step is None:
            bench.distinct.refold()
            assert bench.counted() == bench.expected()
        elif bench.met:
            bench.take_back(step)


def test_s19_a_customer_who_comes_back_moves_once_a_reading() -> None:
    bench = Bench()
    for day in range(3):
        bench.meet(Meeting(0, "alice", day))
    assert bench.counted() == {}
    bench.distinct.refold()
    touched: set[tuple[str, int]] = {
        (scoreboard.scope, day) for scoreboard in bench.scoreboards for day in scoreboard.changed
    }
    assert touched == {("rep", 2), ("team", 2), ("company", 2)}


def test_a_team_that_changes_meanwhile_is_a_matter_of_folding_anew() -> None:
    directory = Directory()
    directory.put(RepUpdated(rep_id="alice", name="Alice", team="north"))
    scoreboards = Scoreboards(directory)
    distinct, by_rep = DistinctCustomers("customers_answered", scoreboards), dict[str, QualifiedDays]()
    distinct.count(by_rep, "alice", 1, 1)
    distinct.refold()
    directory.put(RepUpdated(rep_id="alice", name="Alice", team="south"))
    distinct.count(by_rep, "alice", 2, 1)
    distinct.refold()
    north = scoreboards.by_zones("team", "north")["UTC"]
    assert {day: partial.customers_answered for day, partial in north.days.items()} == {1: 0, 2: 1}
    assert not scoreboards.by_zones("team", "south")
