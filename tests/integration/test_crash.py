"""Crashes: kill -9 at random moments, workers that join and die, and numbers that are those of an independent count.

The oracle is SQL over the same JSON lines. It shares nothing with the core, and what is compared is what came through
Kafka, workers, changelog and Redis.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.settings import ClockSettings, Settings
from processors.board.metrics.unknown_reps import UNKNOWN_REPS
from processors.core.time.instants import DAY_US, HOUR_US, moment
from processors.dev.metrics_page import MetricsPage, get
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.timed_messages import TimedMessage, from_events
from processors.kafka.topics import ensure_topics
from schemas.policy import KINDS
from tests.integration.stack import ReadModel, Worker, board, send_raw, wait_until, worker
from tests.oracle.oracle import report

START_US = 20_500 * DAY_US
KILLED_EVENTS, KILLS = 300_000, 5
SHARED_EVENTS = 100_000
DUPLICATES = 50
"""One event in so many is sent twice."""
PORTIONS = 60
SECOND_US = 1_000_000


class History:
    """A simulated team's events, some of them twice, with the report that the oracle makes of them."""

    def __init__(self, events: int, directory: Path) -> None:
        simulator = Simulator(5, START_US, reps=60, intensity=8.0)
        dice = random.Random(3)
        self.outgoing: list[TimedMessage] = []
        for message in from_events(islice(simulator.timed(), events)):
            self.outgoing += [message] * (2 if dice.randrange(DUPLICATES) == 0 else 1)
        self.as_of_us = self.outgoing[-1][0] + HOUR_US
        self.duplicates = len(self.outgoing) - events
        lines = directory / "events.jsonl"
        lines.write_bytes(b"".join(value + b"\n" for _, _, value in self.outgoing))
        self.report = report(lines, self.as_of_us)

    def portions(self) -> Iterator[list[TimedMessage]]:
        size = len(self.outgoing) // PORTIONS + 1
        return (self.outgoing[at : at + size] for at in range(0, len(self.outgoing), size))


def at_the_end_of(history: History, settings: Settings) -> Settings:
    """The clock stands still at the end of the history, so that the oracle knows what time it is."""
    return msgspec.structs.replace(settings, clock=ClockSettings(mode="fixed", at=moment(history.as_of_us)))


def sending(history: History, settings: Settings, seconds: float) -> threading.Thread:
    """Send the history, portion by portion, over some time."""

    def run() -> None:
        for portion in history.portions():
            send_raw(settings, portion)
            time.sleep(seconds / PORTIONS)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def numbers(windows: dict[str, Any]) -> Counter[str]:
    """The oracle's numbers of one subject, over all time, named as the read model's."""
    all_time = windows["all"]
    found: Counter[str] = Counter()
    for name in ("responses", "customers_answered", "recontactable_customers", "cycle_fallbacks"):
        found[name] = all_time[name]
    for name in ("opportunities_created", "created_won", "won", "lost"):
        found[name] = all_time[name]
    for name in ("activities", "answered_within", "breaches", "closed_unanswered"):
        found |= {f"{name}/{key}": count for key, count in all_time[name].items()}
    found["response_us"] = round(all_time["response_seconds_sum"] * SECOND_US)
    found["hold_us"] = round(all_time["hold_seconds_sum"] * SECOND_US)
    found["won_cents"] = round(float(all_time["won_amount"]) * 100)
    for pipeline, stages in all_time["stages"].items():
        for stage, counts in stages.items():
            found |= {f"{kind}/{pipeline}/{stage}": counts[kind] for kind in ("entered", "visited", "advanced")}
    return +found


def assert_agreed(model: ReadModel, history: History) -> None:
    """Every rep's numbers over all time, who waits, and how many duplicates there were."""
    sums = model.sums()
    reps = {subject: sums["rep", subject] for scope, subject in sums if scope == "rep"}
    for rep_id, windows in history.report["reps"].items():
        wanted = numbers(windows)
        found = +Counter({name: reps.get(rep_id, Counter())[name] for name in {*wanted, *COMPARED}})
        assert found == wanted, rep_id
    waiting = [msgspec.msgpack.decode(value) for fields in model.section("open") for value in fields.values()]
    assert sorted((request["request_id"], request["turn"]) for request in waiting) == sorted(
        (request["request_id"], request["turn"]) for request in history.report["open_requests"]
    )
    assert sum(found["response_us"] for found in reps.values()) > 0
    assert model.quality("duplicate") == history.duplicates


COMPARED = ("responses", "customers_answered", "recontactable_customers", "won", "lost", "response_us", "hold_us")
"""Must be equal even where the oracle has none."""


@pytest.fixture(scope="module")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(KILLED_EVENTS, tmp_path_factory.mktemp("long"))


@pytest.fixture(scope="module")
def short_history(tmp_path_factory: pytest.TempPathFactory) -> History:
    return History(SHARED_EVENTS, tmp_path_factory.mktemp("short"))


def test_killed_at_random_moments_the_numbers_are_those_of_an_independent_count(
    settings: Settings, tmp_path: Path, long_history: History
) -> None:
    settings, dice = at_the_end_of(long_history, settings), random.Random()
    model, total = ReadModel(settings), len(long_history.outgoing)
    ensure_topics(settings)
    sender = sending(long_history, settings, seconds=40.0)

    killed_at = []
    for number in range(KILLS):
        before = model.position()
        with worker(settings, tmp_path) as running:
            target = max(total * (number + dice.random()) / (KILLS + 1), before + 1)
            wait_until(lambda target=target: model.position() >= target, f"{target} records", running)  # type: ignore[misc]
            running.process.kill()
        killed_at.append(model.position())
    with worker(settings, tmp_path) as last:
        sender.join()
        wait_until(lambda: model.position() == total, "every record was published", last)
        wait_until(lambda: _settled(model, last), "the last publication", last)
        assert last.process.stop() == 0

    assert sorted(set(killed_at)) == killed_at
    assert killed_at[-1] < total
    assert_agreed(model, long_history)
    assert_metrics_agreed(settings, tmp_path, long_history)


def metrics_of(page: MetricsPage, rep_id: str) -> Counter[str]:
    """What the board's /metrics says of a rep, over all time, named as the read model's numbers."""
    every = {"rep": rep_id, "window": "all"}
    found = Counter({name: round(page.total(f"crm_{family}", **every)) for family, name in FAMILIES.items()})
    found["won_cents"] = round(page.total("crm_won_amount", **every) * 100)
    found["response_us"] = round(page.total("crm_response_seconds_sum", **every) * SECOND_US)
    for kind, count in page.totals_by("crm_activities", "kind", **every).items():
        found[f"activities/{kind}"] = round(count)
    for kind in ("entered", "advanced"):
        for stage, count in page.totals_by(f"crm_stage_{kind}", "stage", **every).items():
            found[f"{kind}/default/{stage}"] = round(count)
    return +found


def as_exported(found: Counter[str]) -> Counter[str]:
    """The kinds of activity that the policy does not list are one."""
    listed = {f"activities/{kind}" for kind in KINDS}
    free = {name for name in found if name.startswith("activities/")} - listed
    others = sum(found[name] for name in free)
    return Counter({name: count for name, count in found.items() if name not in free} | {"activities/_other": others})


FAMILIES = {
    "responses": "responses",
    "customers_answered": "customers_answered",
    "recontactable_customers": "recontactable_customers",
    "opportunities_created": "opportunities_created",
    "opportunities_created_won": "created_won",
    "opportunities_won": "won",
    "opportunities_lost": "lost",
}


def assert_metrics_agreed(settings: Settings, directory: Path, history: History) -> None:
    """The board's /metrics says the same of every rep."""
    every = msgspec.structs.replace(settings.board, metrics_windows=("all",), metrics_pipeline_windows=("all",))
    with board(msgspec.structs.replace(settings, board=every), directory) as port:
        wait_until(lambda: get(port, "/readyz") is not None, "the board is ready")
        wait_until(lambda: "crm_responses" in (get(port, "/metrics") or ""), "the board has numbers")
        page = MetricsPage(get(port, "/metrics") or "")
    for rep_id, wanted in by_exported_rep(history, page.totals_by("crm_rep_info", "rep")).items():
        told = metrics_of(page, rep_id)
        names = {*told, *FAMILIES.values(), "response_us", "won_cents"}
        assert told == +Counter({name: wanted[name] for name in names}), rep_id


def by_exported_rep(history: History, named: Collection[str]) -> dict[str, Counter[str]]:
    """The oracle's numbers of each rep that has series; those that the directory does not know are one."""
    found: dict[str, Counter[str]] = {}
    for rep_id, windows in history.report["reps"].items():
        wanted = as_exported(numbers(windows))
        if rep_id in named:
            found[rep_id] = wanted
        else:
            for distinct in ("customers_answered", "recontactable_customers"):
                del wanted[distinct]
            found[UNKNOWN_REPS] = found.get(UNKNOWN_REPS, Counter()) + wanted
    return found


def _settled(model: ReadModel, running: Worker) -> bool:
    """Nothing is left to read, and time has passed for everything that was."""
    waited = running.page().total("salespulse_consumer_lag_records") == 0
    before = model.sums()
    time.sleep(1.5)
    return waited and before == model.sums()


def test_workers_join_and_die_midway_and_no_number_is_lost_or_doubled(
    settings: Settings, tmp_path: Path, short_history: History
) -> None:
    settings = at_the_end_of(short_history, settings)
    model, total = ReadModel(settings), len(short_history.outgoing)
    ensure_topics(settings)
    sender = sending(short_history, settings, seconds=30.0)

    with ExitStack() as stack:
        first = stack.enter_context(worker(settings, tmp_path))
        wait_until(lambda: model.position() > 0, "the first worker publishes", first)
        second = stack.enter_context(worker(settings, tmp_path))
        wait_until(lambda: first.owns(2) and second.owns(2), "they share the partitions", first, second)
        shared = model.position()
        wait_until(lambda: model.position() > shared, "both go on", first, second)
        first.process.kill()
        wait_until(lambda: second.owns(4), "the second worker took over", second)
        third = stack.enter_context(worker(settings, tmp_path))
        wait_until(lambda: second.owns(2) and third.owns(2), "a third one shares", second, third)
        assert second.process.stop() == 0
        sender.join()
        wait_until(lambda: model.position() == total, "every record was published", third)
        wait_until(lambda: _settled(model, third), "the last publication", third)

    assert_agreed(model, short_history)
