"""What the demo says is plain, complete and right."""

import io
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
from rich.console import Console
from rich.text import Text

from processors.dev.demo_messages import BoardNumbers, DemoAddresses, DemoOutcome, counted, introduction, summary
from processors.dev.metrics_page import MetricsPage
from tests.grafana.catalogue import metrics
from tests.grafana.queries import selectors

ADDRESSES = DemoAddresses(8080, 9101, 9102, 9090, None, Path("/a demo/salespulse.toml"))
NUMBERS = BoardNumbers(reps=24, waiting=17, past_1h=3, past_24h=1, breaches={"1h": 112, "24h": 9})


def texts(parts: Iterable[Text]) -> list[str]:
    """The lines, without the space around them."""
    console = Console(file=io.StringIO(), width=60)
    for part in parts:
        console.print(part, soft_wrap=True)
    assert isinstance(console.file, io.StringIO)
    return [line.strip() for line in console.file.getvalue().splitlines()]


def test_the_introduction_names_every_page_that_there_is_whole_on_one_line() -> None:
    lines = texts(introduction(ADDRESSES, reps=24, days=30, speed=60.0))
    assert lines[0] == "Salespulse is running: 24 simulated reps with 30 days of history, and now live."
    assert lines[1] == "A second here is a minute for them."
    assert any(line.endswith("http://127.0.0.1:8080/") for line in lines)
    assert any(line.endswith("http://127.0.0.1:8080/api/v1/requests?state=open&min_age=3600") for line in lines)
    assert any(line.startswith("Prometheus") for line in lines)
    assert any(line.startswith("See the boards") for line in lines)
    assert not any(line.startswith("Alertmanager") for line in lines)
    assert "Alerts are shown here as they fall due: Alertmanager is not on PATH." in lines


def test_the_introduction_has_a_command_to_copy_that_finds_the_demo_from_any_terminal() -> None:
    lines = texts(introduction(ADDRESSES, reps=24, days=30, speed=60.0))
    [command] = [line for line in lines if line.endswith(" verify --config '/a demo/salespulse.toml'")]
    assert Path(command.removeprefix("Whether all of it is right").split()[0]).is_file()


def test_the_graph_asks_for_what_boards_ask_for() -> None:
    lines = texts(introduction(ADDRESSES, reps=24, days=30, speed=60.0))
    [line] = [line for line in lines if line.startswith("A graph of who waits")]
    address = urlsplit(line.split()[-1])
    assert (address.netloc, address.path) == ("127.0.0.1:9090", "/graph")
    asked = parse_qs(address.query)
    assert asked["g0.tab"] == ["0"]
    [selector] = selectors(asked["g0.expr"][0])
    assert (selector.name, {"rep", "age"} <= metrics()["crm_requests_open"]) == ("crm_requests_open", True)


def test_a_board_without_a_page_for_people_is_not_named() -> None:
    lines = texts(introduction(msgspec.structs.replace(ADDRESSES, live_page=False), reps=24, days=30, speed=60.0))
    assert not any(line.startswith("See the boards") for line in lines)


def test_the_summary_says_events_rate_reps_open_requests_and_breaches() -> None:
    outcome = DemoOutcome(
        history_events=43_512, history_seconds=9.2, live_events=96, live_seconds=30.0, alerts=4, speed=60.0
    )
    assert texts(summary(outcome, NUMBERS)) == [
        "30 s of live time, 30 minutes for the team:",
        "events         43,512 of history, counted within 9 s of the start",
        "96 live",
        "rate           3.2 live events a second",
        "alerts         4 passed deadlines, each told once",
        "reps           24",
        "open requests  17; 3 past 1h, 1 past 24h",
        "breaches       112 past 1h, 9 past 24h, in 30 days",
    ]


def test_the_summary_of_a_board_that_is_gone_says_what_is_known() -> None:
    outcome = DemoOutcome(history_events=1, history_seconds=1.0, live_events=0, live_seconds=0.0, alerts=0, speed=1.0)
    lines = texts(summary(outcome, None))
    assert lines[0] == "0 s of live time, 0 s for the team:"
    assert not any(line.startswith("open requests") for line in lines)


def test_counted_are_all_events_but_not_the_directory() -> None:
    text = (
        "# TYPE salespulse_events_total counter\n"
        'salespulse_events_total{type="request.opened",result="applied"} 5\n'
        'salespulse_events_total{type="request.opened",result="duplicate"} 2\n'
        'salespulse_events_total{type="rep.updated",result="applied"} 9\n'
    )
    assert counted(MetricsPage(text)) == 7
    assert counted(None) == 0
