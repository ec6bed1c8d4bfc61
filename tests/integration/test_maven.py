"""A real CRM's opportunities, through Kafka and the worker to `/metrics`: the known answers hold there too."""

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from config.settings import ClockSettings, RetentionSettings, Settings, as_environment
from processors.commands.import_csv import run_import_csv
from processors.commands.target import Target
from processors.dev.metrics_page import MetricsPage, get
from processors.dev.process import ChildProcess, free_port
from processors.kafka.topics import ensure_topics
from tests.integration.stack import wait_until, worker

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "maven-crm"
MAPPINGS = ROOT / "config" / "mappings"
END = datetime(2017, 12, 31, 23, 59, 59, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data/maven-crm is not here")


@pytest.fixture
def at_the_end(settings: Settings) -> Settings:
    """The clock stands at the end of the data, and nothing of its 14 months is too old."""
    return msgspec.structs.replace(
        settings,
        clock=ClockSettings(mode="fixed", at=END),
        retention=RetentionSettings(windows_days=500, roots_days=500),
    )


@pytest.fixture
def page(at_the_end: Settings, tmp_path: Path) -> Iterator[MetricsPage]:
    """The board's metrics, once they have all opportunities."""
    ensure_topics(at_the_end)
    target = Target(at_the_end)
    run_import_csv([DATA / "sales_teams.csv"], MAPPINGS / "maven-crm-reps.toml", target)
    run_import_csv([DATA / "sales_pipeline.csv"], MAPPINGS / "maven-crm.toml", target)
    port = free_port()
    own = msgspec.structs.replace(at_the_end.board, port=port, metrics_pipeline_windows=("all",))
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SALESPULSE_")}
    environment |= as_environment(msgspec.structs.replace(at_the_end, board=own))
    command = [sys.executable, "-m", "processors.commands.cli", "board"]
    with worker(at_the_end, tmp_path) as running:
        board = ChildProcess("the board", command, tmp_path / "board.log", environment)
        try:
            wait_until(lambda: created(board_page(port)) == 8800, "all opportunities are on the board", running)
            yield board_page(port)
        finally:
            board.kill()


def board_page(port: int) -> MetricsPage:
    return MetricsPage(get(port, "/metrics") or "")


def created(page: MetricsPage) -> float:
    return page.total("crm_opportunities_created", window="all")


def test_the_known_answers_hold_in_the_live_metrics(page: MetricsPage) -> None:
    won, lost = page.total("crm_opportunities_won", window="all"), page.total("crm_opportunities_lost", window="all")
    assert (won, lost) == (4238, 2473)
    assert round(page.total("crm_opportunities_created_won", window="all") / created(page), 4) == 0.4816
    assert round(won / (won + lost), 4) == 0.6315
    seconds = page.total("crm_sales_cycle_seconds_sum", window="all", outcome="won")
    assert round(seconds / page.total("crm_sales_cycle_seconds_count", window="all", outcome="won") / 86400, 2) == 51.78
    both = page.total("crm_sales_cycle_seconds_sum", window="all")
    assert round(both / page.total("crm_sales_cycle_seconds_count", window="all") / 86400, 2) == 47.99
