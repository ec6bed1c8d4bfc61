"""Every query of every board in a real Prometheus, over a live team: the values are those of the oracle."""

from collections import Counter
from collections.abc import Iterator

import pytest

from config.settings import RedisSettings, Settings, WorkerSettings
from schemas.views import UNASSIGNED
from tests.grafana.documented import documented, shown
from tests.grafana.expected import Choice, Expected, Series, Target, business
from tests.grafana.expected_programs import programs, results, types
from tests.grafana.live import FLOW, Live, live
from tests.grafana.queries import BOARDS, Json, panels
from tests.topics import kafka_under, notifier_under

TARGETS: dict[Target, str] = {
    (name.removeprefix("en/"), panel["title"], target["refId"]): target["expr"]
    for name, board in BOARDS.items()
    if name.startswith("en/")
    for panel in panels(board)
    for target in panel["targets"]
}
CHOICES = ("all teams, a rep in a month", "one team, another rep in a week")


@pytest.fixture(scope="module")
def world(broker: str, redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The live team, once everything is on the boards."""
    name = "grafana"
    settings = Settings(
        kafka=kafka_under(name, broker),
        notifier=notifier_under(name),
        redis=RedisSettings(url=redis_server, prefix=name),
        worker=WorkerSettings(metrics_port=0, data_dir=tmp_path_factory.mktemp("worker")),
    )
    with live(settings, tmp_path_factory.mktemp("live")) as running:
        yield running


@pytest.fixture(scope="module", params=range(len(CHOICES)), ids=CHOICES)
def choice(world: Live, request: pytest.FixtureRequest) -> Choice:
    """What somebody chose on top of the boards."""
    truth, place = world.truth, int(request.param)
    teams, waits = truth.teams(), {rep: truth.longest_wait(rep) for rep in truth.people if rep != UNASSIGNED}
    rep = sorted((rep for rep, wait in waits.items() if wait is not None), key=lambda rep: waits[rep] or 0)[place]
    return Choice(tuple(teams), rep, "30d") if place == 0 else Choice((truth.people[rep][1],), rep, "7d")


@pytest.fixture(scope="module")
def expected(world: Live, choice: Choice) -> dict[Target, Expected]:
    """What every query has to find."""
    return business(world.truth, choice) | programs(world, choice.teams)


def found(world: Live, choice: Choice, expression: str) -> list[Json]:
    """What a query of a board finds."""
    filled = choice.variables() | dict.fromkeys(("$__rate_interval", "$__range"), f"{world.seconds}s")
    for variable, value in filled.items():
        expression = expression.replace(variable, value)
    return world.ask(expression)


def series(answer: list[Json]) -> Series:
    """Values by labels."""
    return {frozenset(one["metric"].items()): float(one["value"][1]) for one in answer}


def test_the_oracle_has_a_word_on_every_query(expected: dict[Target, Expected]) -> None:
    """A new panel needs one, and a changed title too."""
    assert expected.keys() == TARGETS.keys()


@pytest.mark.parametrize("target", TARGETS, ids=[" ".join(target) for target in TARGETS])
def test_a_query_finds_what_is_true(
    world: Live, choice: Choice, expected: dict[Target, Expected], target: Target
) -> None:
    """The same series with the same labels and values, none less and none more."""
    answer, wanted = series(found(world, choice, TARGETS[target])), expected[target]
    assert wanted.agrees(answer), {
        tuple(sorted(one)): (answer.get(one), wanted.series.get(one)) for one in answer | wanted.series
    }


def test_most_queries_have_something_to_find(expected: dict[Target, Expected]) -> None:
    """What has nothing to say here, says so in `test_board_queries`.

    Nobody recovers while Prometheus looks, and by a clock that stands still no deadline passes.
    """
    silent = {target for target, wanted in expected.items() if not wanted.series}
    timed = {("sla", "Alert lag, p99", "A"), ("sla", "Alert lag", "A"), ("sla", "Alert lag", "B")}
    assert silent <= {("operations", "Recovery after an assignment", "A"), *timed}


def test_every_program_says_what_it_costs(expected: dict[Target, Expected]) -> None:
    """Processor, memory and the time of a scrape, each."""
    for title in ("Processor", "Memory", "Duration of scrapes"):
        wanted = expected["operations", title, "A"].series
        assert {dict(labels)["job"] for labels in wanted} == {"board", "workers", "notifier"}, title


def test_bars_are_in_order(world: Live, choice: Choice) -> None:
    """As the query says: the highest first."""
    for target, expression in TARGETS.items():
        if expression.startswith("sort_desc"):
            values = [float(one["value"][1]) for one in found(world, choice, expression)]
            assert values == sorted(values, reverse=True), target


def test_counters_grew_by_exactly_what_was_sent(world: Live) -> None:
    """Rates are estimates; what they come from is not. A series that is new began at 0."""
    began = world.samples('up{job="workers"}')[0][1][0][0]
    for label, sent in (("type", types(world)), ("result", results(world))):
        grown: Counter[str] = Counter()
        for labels, samples in world.samples(FLOW):
            grown[labels[label]] += int(samples[-1][1] - (0 if samples[0][0] > began else samples[0][1]))
        assert grown == Counter(sent), label


def test_turns_that_met_or_missed_are_counted_once(world: Live) -> None:
    """What burn rates are made of."""
    for labels, samples in world.samples("salespulse_sla_outcomes_total"):
        wanted = world.truth.due_lately(labels["team"], labels["level"], labels["result"])
        assert samples[-1][1] == wanted, labels


def test_alerts_end_as_the_oracle_says(world: Live) -> None:
    """The last word on each deadline that is no history is on the topic, and everything on it was told."""
    fired = {one.alert_id for one in world.transitions if one.state == "fired"}
    last = {one.alert_id: one.state for one in world.transitions if one.alert_id in fired}
    wanted = {key: row["state"] for key, row in world.truth.alerts.items()}
    assert {key: state for key, state in last.items() if state != "retracted"} == wanted
    assert Counter(one["state"] for one in world.told) == Counter(one.state for one in world.transitions)
    for labels, samples in world.samples("salespulse_alert_transitions_total"):
        count = sum((one.level, one.state) == (labels["level"], labels["state"]) for one in world.transitions)
        assert samples[-1][1] == count, labels


def test_the_page_about_boards_shows_what_its_queries_find(world: Live) -> None:
    """Five of them at least, with true answers."""
    pairs = documented()
    assert len(pairs) >= 5
    for query, answer in pairs:
        assert answer == shown(world.ask(query)), query
