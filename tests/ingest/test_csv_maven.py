"""The known answers of the Maven CRM data set, counted here a second time without the importer."""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from processors.ingest.csv_import import CsvImport, ImportReport
from processors.ingest.mapping import load_mapping
from schemas.events import (
    ActivityLogged,
    Message,
    OpportunityCreated,
    OpportunityLost,
    OpportunityStageEntered,
    OpportunityWon,
    RepUpdated,
)

DATA = Path("../shared/data/maven-crm")
MAPPINGS = Path("config/mappings")
END_OF_DATA = datetime(2017, 12, 31, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the data set is not in {DATA}")


def imported(name: str, file: str) -> tuple[list[Message], ImportReport]:
    importer = CsvImport(load_mapping(MAPPINGS / name), strict=True)
    return list(importer.messages(DATA / file)), importer.report


@pytest.fixture(scope="module")
def opportunities() -> tuple[list[Message], ImportReport]:
    return imported("maven-crm.toml", "sales_pipeline.csv")


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    with (DATA / "sales_pipeline.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_row_is_an_opportunity_with_its_stage_and_outcome(
    opportunities: tuple[list[Message], ImportReport],
) -> None:
    _, report = opportunities
    assert report.rows == 8800
    assert report.skipped == {}
    assert report.events == {
        "opportunity.created": 8800,
        "opportunity.stage_entered": 500 + 1589 + 4238 + 2473,
        "activity.logged": 1589 + 4238 + 2473,
        "opportunity.won": 4238,
        "opportunity.lost": 2473,
    }


def test_what_was_filled_in_is_said_with_its_reason(opportunities: tuple[list[Message], ImportReport]) -> None:
    _, report = opportunities
    assert report.fallbacks == {
        "account: no account, so a customer of its own": 1425,
        "engage_date: Prospecting without an engage date, so created at the end of the data, 2017-12-31": 500,
    }


def test_win_rates_are_the_known_ones(opportunities: tuple[list[Message], ImportReport]) -> None:
    created, won, lost = (
        sum(isinstance(event, kind) for event in opportunities[0])
        for kind in (OpportunityCreated, OpportunityWon, OpportunityLost)
    )
    assert round(won / created, 4) == 0.4816
    assert round(won / (won + lost), 4) == 0.6315


def test_sales_cycles_from_the_first_follow_up_are_the_known_ones(
    opportunities: tuple[list[Message], ImportReport],
) -> None:
    engaged = {e.opportunity_id: e.occurred_at for e in opportunities[0] if isinstance(e, ActivityLogged)}
    won = [e.occurred_at - engaged[e.opportunity_id] for e in opportunities[0] if isinstance(e, OpportunityWon)]
    lost = [e.occurred_at - engaged[e.opportunity_id] for e in opportunities[0] if isinstance(e, OpportunityLost)]
    assert round(sum(won, timedelta()) / len(won) / timedelta(days=1), 2) == 51.78
    assert round(sum(won + lost, timedelta()) / len(won + lost) / timedelta(days=1), 2) == 47.99


def test_prospecting_rows_are_created_at_the_end_of_the_data_and_nothing_is_later(
    opportunities: tuple[list[Message], ImportReport], rows: list[dict[str, str]]
) -> None:
    prospecting = {row["opportunity_id"] for row in rows if row["deal_stage"] == "Prospecting"}
    created = {e.opportunity_id: e.occurred_at for e in opportunities[0] if isinstance(e, OpportunityCreated)}
    assert {created[opportunity] for opportunity in prospecting} == {END_OF_DATA}
    assert max(e.occurred_at for e in opportunities[0] if not isinstance(e, RepUpdated)) == END_OF_DATA
    stages = Counter(e.stage for e in opportunities[0] if isinstance(e, OpportunityStageEntered))
    assert stages == {"prospecting": 500, "qualified": 8300}


def test_won_amounts_reps_accounts_and_products_are_those_of_the_file(
    opportunities: tuple[list[Message], ImportReport], rows: list[dict[str, str]]
) -> None:
    won = {e.opportunity_id: e for e in opportunities[0] if isinstance(e, OpportunityWon)}
    expected = {row["opportunity_id"]: row for row in rows if row["deal_stage"] == "Won"}
    assert won.keys() == expected.keys()
    for opportunity, row in expected.items():
        assert won[opportunity].amount == Decimal(row["close_value"])
        assert won[opportunity].rep_id == row["sales_agent"]
        assert won[opportunity].customer_id == (row["account"] or f"unnamed account of {opportunity}")
    products = {e.segment for e in opportunities[0] if isinstance(e, OpportunityCreated)}
    with (DATA / "products.csv").open(encoding="utf-8", newline="") as stream:
        assert products == {row["product"] for row in csv.DictReader(stream)}


def test_thirty_reps_have_opportunities_and_all_35_are_in_the_directory_with_their_managers_team(
    opportunities: tuple[list[Message], ImportReport],
) -> None:
    entries, report = imported("maven-crm-reps.toml", "sales_teams.csv")
    reps = [entry for entry in entries if isinstance(entry, RepUpdated)]
    selling = {e.rep_id for e in opportunities[0] if isinstance(e, OpportunityCreated)}
    assert report.rows == len(reps) == 35
    assert len(selling) == 30
    assert selling <= {rep.rep_id for rep in reps}
    assert Counter(rep.team for rep in reps) == {
        "Dustin Brinkmann": 5,
        "Melvin Marxen": 6,
        "Cara Losch": 6,
        "Rocco Neubert": 6,
        "Celia Rouche": 6,
        "Summer Sewald": 6,
    }
