"""For every query of the boards about the business: the series it must find, by their labels, from the oracle."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isclose

from tests.grafana.truth import AGES, SECOND_US, Truth, quantile
from tests.oracle.oracle import STAGES

Series = dict[frozenset[tuple[str, str]], float]
"""Values by all labels of their series."""
Target = tuple[str, str, str]
"""Board, title of the panel, letter of the query."""

OVER_1H, OVER_24H = AGES[1:], AGES[2:]
OPPORTUNITY_WINDOW = "30d"
"""The one window of opportunities that is exported by default."""
OF_OPPORTUNITIES = {
    *("won", "lost", "won_cents", "created_won", "opportunities_created", "entered", "advanced"),
    *("cycle_won", "cycle_won_us", "cycle_lost", "cycle_lost_us"),
}
KINDS = ("call", "email", "meeting", "demo")
"""Kinds of activity that the shipped policy lists."""
WAIT = 5.0
"""Waits grow while a test looks at them: so many seconds are allowed for a scrape and a rule."""


@dataclass(frozen=True)
class Choice:
    """What the variables on top of a board say."""

    teams: tuple[str, ...]
    rep: str
    window: str

    def variables(self) -> dict[str, str]:
        """What Grafana fills in."""
        return {
            "$team": "|".join(self.teams),
            "$rep": self.rep,
            "$window": self.window,
            "$opportunity_window": OPPORTUNITY_WINDOW,
            "$pipeline": "default",
        }


@dataclass(frozen=True)
class Expected:
    """Series, and by how much their values may be off: a share of the value, and a number of the same unit."""

    series: Series
    relative: float = 1e-9
    absolute: float = 0.0

    def agrees(self, found: Series) -> bool:
        """Whether exactly these series were found, with these values."""
        return found.keys() == self.series.keys() and all(
            isclose(value, self.series[labels], rel_tol=self.relative, abs_tol=self.absolute)
            for labels, value in found.items()
        )


def one(value: float | None) -> Series:
    """A single number; None: no value."""
    return {} if value is None else {frozenset(): value}


def by(label: str, values: Mapping[str, float | None]) -> Series:
    """A number for each value of a label, without those that have none."""
    return {frozenset({(label, key)}): value for key, value in values.items() if value is not None}


def ratio(part: float, whole: float) -> float | None:
    """A quotient, or nothing."""
    return part / whole if whole > 0 else None


class Business:
    """What the boards have to show of the business, for one choice of the variables."""

    def __init__(self, truth: Truth, choice: Choice) -> None:
        self.truth = truth
        self.choice = choice
        self.reps = [rep for team in choice.teams for rep in truth.of(team)]
        self.others = [rep for rep in self.reps if rep != choice.rep]

    def total(self, measure: str, reps: Iterable[str], key: str | None = None, subkey: str | None = None) -> int:
        """A number in the chosen window, over some reps."""
        window = OPPORTUNITY_WINDOW if measure in OF_OPPORTUNITIES else self.choice.window
        return sum(self.truth.number(rep, window, measure, key, subkey) for rep in reps)

    def named(self, value: Callable[[str], float | None]) -> Series:
        """A number of each rep of the chosen teams, with its name and team."""
        found = {rep: value(rep) for rep in self.reps}
        people = self.truth.people
        return {
            frozenset({("rep", rep), ("rep_name", people[rep][0]), ("team", people[rep][1])}): number
            for rep, number in found.items()
            if number is not None
        }

    def waiting(self, reps: Iterable[str], ages: Iterable[str] = AGES) -> int:
        """How many customers of some reps wait."""
        found = self.truth.open_by_age(reps)
        return sum(found[age] for age in ages)

    def within_1h(self, reps: Iterable[str]) -> float | None:
        """The share of turns answered within 1 h."""
        reps = list(reps)
        met = self.total("answered_within", reps, "1h")
        return ratio(met, met + self.total("breaches", reps, "1h"))

    def wait(self, reps: Iterable[str], per: str) -> float | None:
        """Seconds waited by turn (`responses`) or customer (`customers_answered`)."""
        reps = list(reps)
        return ratio(self.total("response_us", reps) / SECOND_US, self.total(per, reps))

    def wait_of_teams(self) -> float | None:
        """Seconds waited by customer of the chosen teams, which can be known of one team and of all."""
        window, known = self.choice.window, self.truth.customers_answered
        answered = {team for team in self.truth.teams() if known(team, window)}
        chosen = answered & set(self.choice.teams)
        customers = known("", window) if chosen == answered else known(min(chosen), window) if len(chosen) == 1 else 0
        return ratio(self.total("response_us", self.reps) / SECOND_US, customers)

    def closed(self, rep: str) -> float | None:
        """Won by won and lost."""
        won = self.total("won", [rep])
        return ratio(won, won + self.total("lost", [rep]))

    def created(self, rep: str) -> float | None:
        """Won by created."""
        return ratio(self.total("created_won", [rep]), self.total("opportunities_created", [rep]))

    def cycle(self, outcome: str) -> float | None:
        """The chosen rep's mean seconds from the first follow-up to the close."""
        rep = [self.choice.rep]
        return ratio(self.total(f"cycle_{outcome}_us", rep) / SECOND_US, self.total(f"cycle_{outcome}", rep))

    def stages(self, measure: str, reps: Iterable[str]) -> dict[str, float]:
        """A number of each stage."""
        reps = list(reps)
        return {stage: self.total(measure, reps, "default", stage) for stage in STAGES["default"]}

    def conversion(self, reps: Iterable[str]) -> dict[str, float | None]:
        """The share that went on from each stage."""
        reps = list(reps)
        reached = self.stages("entered", reps)
        return {stage: ratio(count, reached[stage]) for stage, count in self.stages("advanced", reps).items()}

    def open_opportunities(self, reps: Iterable[str]) -> dict[str, float]:
        """How many are open in each stage, without the stages in which none is."""
        chosen, found = set(reps), dict[str, float]()
        for (rep, stage), count in self.truth.open_opportunities.items():
            if rep in chosen:
                found[stage] = found.get(stage, 0) + count
        return found

    def by_age(self, board: str, reps: Iterable[str]) -> dict[Target, Expected]:
        """The three queries of the panel of ages."""
        found = self.truth.open_by_age(reps)
        return {
            (board, "Open requests by age", letter): Expected(by("age", {age: found[age]}))
            for letter, age in zip("ABC", AGES, strict=True)
        }

    def longest_wait(self, reps: Iterable[str]) -> float | None:
        """Seconds."""
        return max((wait for rep in reps if (wait := self.truth.longest_wait(rep)) is not None), default=None)


def team(it: Business) -> dict[Target, Expected]:
    """The board `Team today`."""
    title, reps, numbers = "Reps, several numbers side by side", it.reps, it.truth
    columns: list[Callable[[str], float | None]] = [
        lambda rep: it.waiting([rep], OVER_1H),
        lambda rep: it.within_1h([rep]),
        lambda rep: it.wait([rep], "responses"),
        lambda rep: it.wait([rep], "customers_answered"),
        lambda rep: numbers.activities(rep, it.choice.window),
        lambda rep: it.total("recontactable_customers", [rep]),
        lambda rep: it.total("won", [rep]),
        it.closed,
        it.created,
        lambda rep: it.total("won_cents", [rep]) / 100,
    ]
    table = {("team", title, letter): it.named(value) for letter, value in zip("ABCDEFGHIJ", columns, strict=True)}
    activities = {kind: float(it.total("activities", reps, kind)) for kind in KINDS}
    activities["_other"] = float(sum(it.total("activities", reps, kind) for kind in numbers.kinds() - set(KINDS)))
    single: dict[str, Series] = {
        "Waiting > 24 h": one(it.waiting(reps, OVER_24H)),
        "Waiting > 1 h": one(it.waiting(reps, OVER_1H)),
        "Answered within 1 h": one(it.within_1h(reps)),
        "Response time per turn": one(it.wait(reps, "responses")),
        "Response time per customer": one(it.wait_of_teams()),
        "Activities": one(sum(activities.values())),
        "Answered within 1 h by team": by("team", {name: it.within_1h(numbers.of(name)) for name in it.choice.teams}),
        "Activities by kind": by("kind", dict(activities)),
        "Recontactable customers": it.named(lambda rep: it.total("recontactable_customers", [rep])),
    }
    exact = {key: Expected(series) for key, series in (table | _first("team", single)).items()}
    return exact | it.by_age("team", reps)


def rep(it: Business) -> dict[Target, Expected]:
    """The board `Rep`."""
    own, title = [it.choice.rep], "The rep's funnel against the rest of the team"
    mine, theirs = it.conversion(own), it.conversion(it.others)
    gap = {
        stage: share - other
        for stage, share in mine.items()
        if share is not None and (other := theirs[stage]) is not None
    }
    columns: list[Mapping[str, float | None]] = [
        dict(it.stages("entered", own)),
        dict(it.stages("advanced", own)),
        mine,
        theirs,
        dict(gap),
        dict(it.stages("entered", it.others)),
    ]
    table = {("rep", title, letter): _staged(values) for letter, values in zip("ABCDEF", columns, strict=True)}
    buckets, others = it.truth.buckets(own), it.truth.buckets(it.others)
    single: dict[str, Series] = {
        "Waiting > 24 h": one(it.waiting(own, OVER_24H)),
        "Waiting > 1 h": one(it.waiting(own, OVER_1H)),
        "Answered within 1 h": by("rep", {it.choice.rep: it.within_1h(own)}),
        "Response time per turn": by("rep", {it.choice.rep: it.wait(own, "responses")}),
        "Response time per customer": by("rep", {it.choice.rep: it.wait(own, "customers_answered")}),
        "Activities": one(it.truth.activities(it.choice.rep, it.choice.window)),
        "Response times, distribution": by("le", dict(buckets)),
        "Open opportunities by stage": by("stage", dict(it.open_opportunities(own))),
    }
    pairs = {
        ("Response times: median and 90 %", "A"): one(quantile(0.5, buckets)),
        ("Response times: median and 90 %", "B"): one(quantile(0.9, buckets)),
        ("Response times: median and 90 %", "C"): one(quantile(0.5, others)),
        ("Response times: median and 90 %", "D"): one(quantile(0.9, others)),
        ("Win rate, both ways", "A"): by("rep", {it.choice.rep: it.closed(it.choice.rep)}),
        ("Win rate, both ways", "B"): by("rep", {it.choice.rep: it.created(it.choice.rep)}),
        ("Sales cycle", "A"): by("rep", {it.choice.rep: it.cycle("won")}),
        ("Sales cycle", "B"): by("rep", {it.choice.rep: it.cycle("lost")}),
    }
    every = table | _first("rep", single) | {("rep", *key): series for key, series in pairs.items()}
    exact = {key: Expected(series) for key, series in every.items()}
    longest = by("rep", {it.choice.rep: it.truth.longest_wait(it.choice.rep)})
    return exact | it.by_age("rep", own) | {("rep", "Longest wait", "A"): Expected(longest, absolute=WAIT)}


def funnel(it: Business) -> dict[Target, Expected]:
    """The board `Funnel`."""
    reps, windows = it.reps, (OPPORTUNITY_WINDOW,)
    reached, advanced = (it.stages(measure, reps) for measure in ("entered", "advanced"))
    people, numbers = it.truth.people, it.truth.number
    by_rep: Series = {
        frozenset({("rep", rep), ("rep_name", people[rep][0]), ("stage", stage)}): share
        for rep in reps
        for stage, share in it.conversion([rep]).items()
        if share is not None
    }
    by_team: Series = {
        frozenset({("team", name), ("stage", stage)}): share
        for name in it.choice.teams
        for stage, share in it.conversion(it.truth.of(name)).items()
        if share is not None
    }
    cohorts = {
        window: ratio(
            sum(numbers(rep, window, "created_won") for rep in reps),
            sum(numbers(rep, window, "opportunities_created") for rep in reps),
        )
        for window in windows
    }
    single: dict[str, Series] = {
        "Opportunities that reached each stage": by("stage", dict(reached)),
        "Conversion to the next stage": by("stage", it.conversion(reps)),
        "Where opportunities stay behind": by("stage", {stage: reached[stage] - advanced[stage] for stage in reached}),
        "Conversion by rep and stage": by_rep,
        "Conversion by team and stage": by_team,
        "Created cohorts: share won so far": by("window", cohorts),
        "Conversion over time": by("stage", it.conversion(reps)),
        "Open opportunities by stage": by("stage", dict(it.open_opportunities(reps))),
    }
    return {key: Expected(series) for key, series in _first("funnel", single).items()}


def customers(it: Business) -> dict[Target, Expected]:
    """The board `Customers`."""
    rows = it.truth.segments
    count = {name: float(row["customers"]) for name, row in rows.items()}
    revenue = {name: int(row["revenue"]) / 100 for name, row in rows.items()}
    cost = {name: int(row["cost"]) / 100 for name, row in rows.items()}
    worth = {name: ratio(revenue[name] - cost[name], count[name]) for name in rows}
    share = {name: ratio(cost[name], revenue[name]) for name in rows}
    every, earned, spent = (sum(values.values()) for values in (count, revenue, cost))
    columns = [worth, dict(count), dict(revenue), dict(cost), share]
    table = {
        ("customers", "Segments", letter): by("segment", values)
        for letter, values in zip("ABCDE", columns, strict=True)
    }
    single: dict[str, Series] = {
        "Lifetime value, all customers": one(ratio(earned - spent, every)),
        "Customers": one(every),
        "Revenue": one(earned),
        "Cost": one(spent),
        "Cost for each unit of revenue": one(ratio(spent, earned)),
        "Lifetime value by segment": by("segment", worth),
        "Lifetime value over time": by("segment", worth),
        "Revenue and cost over time": one(earned),
    }
    found = table | _first("customers", single) | {("customers", "Revenue and cost over time", "B"): one(spent)}
    return {key: Expected(series) for key, series in found.items()}


def sla(it: Business) -> dict[Target, Expected]:
    """What the board `SLA` shows of the business."""
    reps, numbers = it.reps, it.truth
    columns: list[Callable[[str], float | None]] = [
        lambda rep: it.waiting([rep]) or None,
        lambda rep: it.waiting([rep], OVER_1H) or None,
        lambda rep: it.waiting([rep], OVER_24H) or None,
    ]
    table = {("sla", "Waiting by rep", letter): it.named(value) for letter, value in zip("BCD", columns, strict=True)}
    single: dict[str, Series] = {
        "Waiting now": one(it.waiting(reps)),
        "Waiting > 1 h": one(it.waiting(reps, OVER_1H)),
        "Waiting > 24 h": one(it.waiting(reps, OVER_24H)),
        "Answered within 1 h": one(it.within_1h(reps)),
        "Breaches in the window, by level": by(
            "level", {level: it.total("breaches", reps, level) for level in ("1h", "24h")}
        ),
    }
    exact = {key: Expected(series) for key, series in (table | _first("sla", single)).items()}
    return (
        exact
        | it.by_age("sla", reps)
        | {
            ("sla", "Longest wait", "A"): Expected(one(it.longest_wait(reps)), absolute=WAIT),
            ("sla", "Waiting by rep", "A"): Expected(it.named(numbers.longest_wait), absolute=WAIT),
        }
    )


def business(truth: Truth, choice: Choice) -> dict[Target, Expected]:
    """All of them."""
    it = Business(truth, choice)
    return team(it) | rep(it) | funnel(it) | customers(it) | sla(it)


def _first(board: str, single: Mapping[str, Series]) -> dict[Target, Series]:
    return {(board, title, "A"): series for title, series in single.items()}


def _staged(values: Mapping[str, float | None]) -> Series:
    return {
        frozenset({("pipeline", "default"), ("stage", stage)}): value
        for stage, value in values.items()
        if value is not None
    }
