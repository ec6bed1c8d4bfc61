"""Every query of every board runs in a real Prometheus with the shipped rules, and the answers are true."""

import math
from collections.abc import Iterator
from functools import partial

import pytest

from grafana.promql import customers
from tests.grafana.prometheus import Ask, instant, wait_for
from tests.grafana.queries import BOARDS, Json, expressions, panels
from tests.grafana.world import scraped

CHOSEN = {
    "$__rate_interval": "1m",
    "$__range": "1m",
    "$team": ".*",
    "$rep": "r1",
    "$window": "30d",
    "$opportunity_window": "30d",
    "$pipeline": "default",
}


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A function that puts a query to a Prometheus which scrapes the small world, two boards of it."""
    with scraped(tmp_path_factory.mktemp("prometheus")) as address:
        yield partial(instant, address)


def chosen(expression: str) -> str:
    """A query with what Grafana would fill in."""
    for variable, value in CHOSEN.items():
        expression = expression.replace(variable, value)
    return expression


def values(series: list[Json], label: str) -> dict[str, float]:
    """Numbers by the value of a label; the empty word when there is none."""
    return {one["metric"].get(label, ""): float(one["value"][1]) for one in series}


def query_of(board: str, title: str, place: int = 0) -> str:
    """A query of the panel with this title."""
    [panel] = [panel for panel in panels(BOARDS[f"en/{board}"]) if panel["title"] == title]
    return chosen(panel["targets"][place]["expr"])


EVERY = [
    (name, expression) for name, board in BOARDS.items() if name.startswith("en/") for expression in expressions(board)
]


@pytest.mark.parametrize(
    ("board", "expression"), EVERY, ids=[f"{name}-{place}" for place, (name, _) in enumerate(EVERY)]
)
def test_every_query_finds_numbers(ask: Ask, board: str, expression: str) -> None:
    """Not just PromQL: labels match, joins join, and nothing is divided by nothing."""
    found = ask(chosen(expression))
    assert found, f"{board} asks in vain: {chosen(expression)}"
    assert not any(math.isnan(float(one["value"][1])) for one in found)


@pytest.mark.parametrize(
    ("board", "title", "label", "wanted"),
    [
        ("team", "Waiting > 24 h", "", {"": 6}),
        ("team", "Waiting > 1 h", "", {"": 18}),
        ("team", "Answered within 1 h", "", {"": 0.8}),
        ("team", "Response time per turn", "", {"": 1800}),
        ("team", "Response time per customer", "", {"": 5400}),
        ("team", "Activities", "", {"": 60}),
        ("team", "Open requests by age", "age", {"lt1h": 30}),
        ("team", "Reps, several numbers side by side", "rep_name", {"Ann": 3, 'Böb "B"': 6, "王伟": 9}),
        ("rep", "Waiting > 1 h", "", {"": 3}),
        ("rep", "Response time per customer", "rep", {"r1": 3600}),
        ("rep", "Win rate, both ways", "rep", {"r1": 0.75}),
        ("rep", "Sales cycle", "rep", {"r1": 86400}),
        ("rep", "Response times: median and 90 %", "", {"": 1950}),
        (
            "funnel",
            "Opportunities that reached each stage",
            "stage",
            {"prospecting": 240, "qualified": 120, "demo": 60},
        ),
        ("funnel", "Conversion to the next stage", "stage", {"prospecting": 0.5, "qualified": 0.5, "demo": 0.2}),
        ("funnel", "Where opportunities stay behind", "stage", {"prospecting": 120, "qualified": 60, "demo": 48}),
        ("funnel", "Created cohorts: share won so far", "window", dict.fromkeys(("today", "7d", "30d"), 0.2)),
        ("customers", "Lifetime value, all customers", "", {"": 160}),
        ("customers", "Lifetime value by segment", "segment", {"enterprise": 400, "unknown": 100}),
        ("sla", "Waiting now", "", {"": 48}),
        ("sla", "Burn rate by team, last hour", "team", {"east": 5}),
        ("sla", "Alert lag, p99", "", {"": 0.95}),
        ("operations", "Workers up", "", {"": 1}),
        ("operations", "Partitions owned", "", {"": 1}),
        ("operations", "Redis reached by everybody", "", {"": 1}),
    ],
)
def test_panels_show_what_is_true(ask: Ask, board: str, title: str, label: str, wanted: dict[str, float]) -> None:
    """Two boards export everything twice, and nothing counts twice."""
    assert values(ask(query_of(board, title)), label) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("teams", "wanted"),
    [
        *((".*", {"": 20}), ("east|west|south", {"": 20}), ("east", {"": 12}), ("east|north", {"": 12})),
        *(("east|west", {}), ("north", {}), ("nobody", {})),
    ],
)
def test_s11_distinct_customers_of_some_teams_are_not_added_up(ask: Ask, teams: str, wanted: dict[str, float]) -> None:
    """They are known of one team, and of all that have any."""
    query = customers("customers_answered").replace("$team", teams).replace("$window", "7d")
    assert values(ask(query), "") == wanted


def test_a_rep_is_compared_with_the_team_without_the_rep(ask: Ask) -> None:
    """Pooled over the others (S25): here all convert alike, and the others' numbers are those of two reps."""
    title = "The rep's funnel against the rest of the team"
    assert values(ask(query_of("rep", title, 0)), "stage")["demo"] == 10
    assert values(ask(query_of("rep", title, 5)), "stage")["demo"] == 50
    assert values(ask(query_of("rep", title, 4)), "stage")["demo"] == pytest.approx(0)


def test_the_longest_wait_grows_by_itself(ask: Ask) -> None:
    """An age is computed from an instant."""
    assert values(ask(query_of("rep", "Longest wait")), "rep")["r1"] == pytest.approx(7200, abs=60)


def test_the_rules_fire_on_what_the_boards_show(ask: Ask) -> None:
    """The annotation of the boards draws them."""
    [annotation] = BOARDS["en/team"]["annotations"]["list"]
    wait_for(ask, chosen(annotation["expr"]))
    fired = {(one["metric"]["alertname"], one["metric"].get("rep")) for one in ask(chosen(annotation["expr"]))}
    assert fired >= {("RequestUnanswered24h", rep) for rep in ("r1", "r2", "r3")}
