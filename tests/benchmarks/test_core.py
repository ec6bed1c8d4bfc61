"""The core's benchmarks in their smallest form: they run, and what they feed to the core is good."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import core, footprint, mix, roots
from benchmarks.corpus import corpus
from processors.core.reports.replay import replay
from schemas.codec import encode, parse_event
from schemas.policy import DEFAULT_POLICY


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A small mix."""
    return list(corpus(4000, tmp_path_factory.mktemp("mix")).values())


def test_every_message_of_the_mix_is_taken_and_timed_by_step(values: list[bytes]) -> None:
    core = mix.timed(values)
    costs, moves = core.costs, core.moves()
    assert costs.events == len(values)
    assert costs.decode > 0
    assert costs.apply > 0
    assert costs.per_event()["total"] == pytest.approx(costs.total / len(values) * 1e6)
    assert [move.reps for move in moves] == [1, 31, 500]
    assert 0 < moves[0].seconds_per_million < moves[2].seconds_per_million


def test_every_type_of_the_mix_is_timed(values: list[bytes]) -> None:
    kinds = {str(parse_event(value).__struct_config__.tag) for value in values}
    assert set(mix.cost_by_type(values)) == kinds


def test_a_customer_is_in_one_partition(values: list[bytes]) -> None:
    seen: dict[str, int] = {}
    for number, raw in mix.batches(values):
        for value in raw:
            assert seen.setdefault(parse_event(value).customer_id, number) == number
    assert len(set(seen.values())) == mix.PARTITIONS


@pytest.mark.parametrize("name", sorted(roots.ROOTS))
def test_large_roots_are_all_good_and_the_same_in_any_order(name: str) -> None:
    lines = [encode(event) for event in roots.ROOTS[name](400)]
    in_order, *others = (
        replay(arrange([parse_event(line) for line in lines]), DEFAULT_POLICY)
        for order, arrange in roots.ORDERS.items()
        if order != "at one instant"
    )
    assert in_order["events"]["applied"] == 400
    assert all(other == in_order for other in others)
    assert all(roots.cost_per_event(arrange(list(roots.ROOTS[name](50)))) > 0 for arrange in roots.ORDERS.values())


def test_open_requests_come_back_from_the_journal() -> None:
    found = footprint.measure(300)
    assert found.requests == 300
    assert found.recovery_seconds > 0
    assert found.everything_seconds > 0


def test_the_command_prints_tables_and_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SALESPULSE_BENCHMARK_CACHE", str(tmp_path))
    monkeypatch.setattr(core, "ROOT_SIZES", {"request": (100,)})
    options = ["--events", "2000", "--requests", "200"]
    table = CliRunner().invoke(core.main, options, catch_exceptions=False)
    assert "activity.logged" in table.output
    found = json.loads(CliRunner().invoke(core.main, [*options, "--json"], catch_exceptions=False).output)
    assert found["footprint"]["requests"] == 200
    assert found["roots"][0]["facts"] == 100
    assert found["steps"]["total"] > 0


def test_the_profile_names_the_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SALESPULSE_BENCHMARK_CACHE", str(tmp_path))
    result = CliRunner().invoke(core.main, ["--events", "2000", "--profile"], catch_exceptions=False)
    assert re.search(r"ledger\.py:\d+\(apply\)|method 'apply' of 'Ledger' objects", result.output)
