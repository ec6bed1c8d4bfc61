"""Real input: the opportunities of a CRM, counted from the CSV with plain Python, by the oracle and by the core."""

import csv
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from processors.core.reports.replay import replay
from schemas import events as ev
from schemas.codec import encode
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY
from tests.oracle import oracle
from tests.oracle.compare import differences

DATA = Path(__file__).parents[3] / "shared" / "data" / "maven-crm"
LAST_DAY = "12/31/2017"
"""Opportunities without an engage date are taken as created at the end of the data."""

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the CRM data in {DATA}")

Row = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    with (DATA / "sales_pipeline.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def events(rows: list[Row]) -> list[Event]:
    return [event for row in rows for event in events_of(row)]


@pytest.fixture(scope="module")
def answer(events: list[Event], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("maven") / "events.jsonl"
    path.write_bytes(b"\n".join(encode(event) for event in events))
    return oracle.report(path)


def instant(date: str) -> datetime:
    return datetime.strptime(date, "%m/%d/%Y").replace(tzinfo=UTC)


def events_of(row: Row) -> Iterator[Event]:
    """Engagement is creation and first follow-up."""
    key = row["opportunity_id"]
    common: dict[str, Any] = {
        "customer_id": row["account"] or f"of {key}",
        "opportunity_id": key,
        "rep_id": row["sales_agent"],
    }
    engaged = instant(row["engage_date"] or LAST_DAY)
    yield ev.OpportunityCreated(event_id=f"{key}/created", occurred_at=engaged, **common)
    if row["engage_date"]:
        yield ev.ActivityLogged(event_id=f"{key}/engaged", occurred_at=engaged, kind="engagement", **common)
    if row["deal_stage"] == "Won":
        amount = Decimal(row["close_value"])
        closed = instant(row["close_date"])
        yield ev.OpportunityWon(event_id=f"{key}/won", occurred_at=closed, amount=amount, **common)
    elif row["deal_stage"] == "Lost":
        yield ev.OpportunityLost(event_id=f"{key}/lost", occurred_at=instant(row["close_date"]), **common)


def mean_days(rows: list[Row], *outcomes: str) -> float:
    spans = [
        (instant(row["close_date"]) - instant(row["engage_date"])).days for row in rows if row["deal_stage"] in outcomes
    ]
    return sum(spans) / len(spans)


def test_the_known_counts_and_rates_hold(rows: list[Row], answer: dict[str, Any]) -> None:
    company = answer["company"]["all"]
    assert (company["opportunities_created"], company["won"], company["lost"]) == (8800, 4238, 2473)
    assert company["won"] + company["lost"] == sum(bool(row["close_date"]) for row in rows)
    assert round(company["win_rate_created"], 4) == 0.4816
    assert round(company["win_rate_closed"], 4) == 0.6315
    assert len(answer["reps"]) == 30


def test_the_known_cycles_hold(rows: list[Row], answer: dict[str, Any]) -> None:
    company = answer["company"]["all"]
    won, lost = company["sales_cycle_won_seconds"] / 86400, company["sales_cycle_lost_seconds"] / 86400
    assert won == pytest.approx(mean_days(rows, "Won"), rel=1e-12)
    assert lost == pytest.approx(mean_days(rows, "Lost"), rel=1e-12)
    assert round(won, 2) == 51.78
    assert round((won * 4238 + lost * 2473) / 6711, 2) == 47.99
    assert company["cycle_fallbacks"] == 0


def test_every_reps_results_are_those_of_the_csv(rows: list[Row], answer: dict[str, Any]) -> None:
    won, lost, amount = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        won[row["sales_agent"]] += row["deal_stage"] == "Won"
        lost[row["sales_agent"]] += row["deal_stage"] == "Lost"
        amount[row["sales_agent"]] += int(row["close_value"] or 0)
    ours = {rep: (windows["all"]["won"], windows["all"]["lost"]) for rep, windows in answer["reps"].items()}
    assert ours == {rep: (won[rep], lost[rep]) for rep in won}
    assert {rep: windows["all"]["won_amount"] for rep, windows in answer["reps"].items()} == {
        rep: f"{amount[rep]}.00" for rep in amount
    }


def test_the_core_gives_the_same_report_backwards(events: list[Event], answer: dict[str, Any]) -> None:
    assert differences(replay(reversed(events), DEFAULT_POLICY, partitions=3), answer) == []
