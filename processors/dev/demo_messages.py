"""The demo's output: what to open, a ticker, and a summary."""

import shlex
import sys
from collections.abc import Iterator
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec
from rich.text import Text

from processors.core.time.instants import moment
from processors.dev.metrics_page import MetricsPage, metrics
from processors.dev.process import LOOPBACK
from processors.notifier.receivers.webhook import WebhookMessage
from schemas.views import UNASSIGNED

COUNTED = "salespulse_events_total"
REP_UPDATED = "rep.updated"
PAST_1H = ("1h_24h", "gt24h")
WAITING = "sum by (age) (max by (rep, age) (crm_requests_open))"
GRAPH = urlencode({"g0.expr": WAITING, "g0.tab": "0", "g0.stacked": "1", "g0.range_input": "10m"}, quote_via=quote)
"""A page of Prometheus: open requests over time, by the levels that they have passed."""


class DemoAddresses(msgspec.Struct, frozen=True):
    """The ports on loopback, None for what does not run; and the file with the settings of all that runs."""

    board: int
    worker: int
    notifier: int
    prometheus: int | None
    alertmanager: int | None
    config: Path
    live_page: bool = True
    """Whether the board has a page for people at its root."""


class BoardNumbers(msgspec.Struct, frozen=True):
    """Numbers from the board's metrics."""

    reps: int
    waiting: int
    past_1h: int
    past_24h: int
    breaches: dict[str, int]
    """Level to the turns that missed it in the last 30 days."""


class DemoOutcome(msgspec.Struct, frozen=True):
    """What the demo achieved."""

    history_events: int
    history_seconds: float
    live_events: int
    live_seconds: float
    alerts: int
    """Deadlines of single requests that the notifier reported."""
    speed: float


def introduction(addresses: DemoAddresses, reps: int, days: int, speed: float) -> Iterator[Text]:
    """What runs and what to open."""
    yield Text(f"Salespulse is running: {reps} simulated reps with {days} days of history, and now live.")
    yield Text(f"A second here is {_span(speed)} for them.")
    board = f"http://{LOOPBACK}:{addresses.board}"
    yield from _pairs(
        *_addresses("See the boards", addresses.board if addresses.live_page else None),
        ("Numbers of every rep", f"{board}/api/v1/reps"),
        ("Who waits for over an hour", f"{board}/api/v1/requests?state=open&min_age=3600"),
        ("The same for Prometheus", f"{board}/metrics"),
        ("What the worker does", f"http://{LOOPBACK}:{addresses.worker}/metrics"),
        ("What the notifier does", f"http://{LOOPBACK}:{addresses.notifier}/metrics"),
        *_addresses("Prometheus", addresses.prometheus),
        *_addresses("A graph of who waits", addresses.prometheus, f"graph?{GRAPH}"),
        *_addresses("Alertmanager", addresses.alertmanager),
        ("Whether all of it is right", shlex.join([_program(), "verify", "--config", str(addresses.config)])),
    )
    if addresses.alertmanager is None:
        yield Text("Alerts are shown here as they fall due: Alertmanager is not on PATH.")
    yield Text("In another terminal, --config with this file brings any command here.")
    yield Text("Ctrl-C stops it and removes everything.")


def alert(message: WebhookMessage) -> Text:
    """One line on a deadline that was passed."""
    at = f"{datetime.fromisoformat(message.due_at):%A %H:%M}"
    owner = "nobody owns it" if message.rep_id == UNASSIGNED else f"owner {message.rep_id}, team {message.team}"
    style = "bold red" if message.severity == "critical" else "yellow"
    return Text(f"{at} UTC   {message.summary}: {owner}, by {message.channel}", style)


def ticker(now_us: int, live_events: int, numbers: BoardNumbers | None) -> Text:
    """One line on how it goes."""
    waiting = "" if numbers is None else f"   {numbers.waiting} wait, {numbers.past_1h} of them for over an hour"
    return Text(f"{moment(now_us):%A %H:%M} UTC   {live_events:,} live events{waiting}   (Ctrl-C stops)", "dim")


def summary(outcome: DemoOutcome, numbers: BoardNumbers | None) -> Iterator[Text]:
    """The result, for people."""
    rate = outcome.live_events / outcome.live_seconds if outcome.live_seconds else 0.0
    lived = _span(outcome.live_seconds * outcome.speed)
    yield Text(f"{outcome.live_seconds:.0f} s of live time, {lived} for the team:")
    rows = [
        (
            "events",
            f"{outcome.history_events:,} of history, counted within {outcome.history_seconds:.0f} s of the start",
        ),
        ("", f"{outcome.live_events:,} live"),
        ("rate", f"{rate:,.1f} live events a second"),
        ("alerts", f"{outcome.alerts:,} passed deadlines, each told once"),
    ]
    if numbers is not None:
        missed = ", ".join(
            f"{count:,} past {level}"
            for level, count in sorted(numbers.breaches.items(), key=itemgetter(1), reverse=True)
        )
        rows += [
            ("reps", f"{numbers.reps:,}"),
            ("open requests", f"{numbers.waiting:,}; {numbers.past_1h:,} past 1h, {numbers.past_24h:,} past 24h"),
            ("breaches", f"{missed or 'none'}, in 30 days"),
        ]
    yield from _pairs(*rows)


def counted(page: MetricsPage | None) -> int:
    """Events that the worker has counted, with any result."""
    by_type = {} if page is None else page.totals_by(COUNTED, "type")
    return int(sum(count for kind, count in by_type.items() if kind != REP_UPDATED))


def read_numbers(board_port: int) -> BoardNumbers | None:
    """The numbers of a board; None when it does not answer."""
    page = metrics(board_port)
    if page is None:
        return None
    ages = page.totals_by("crm_requests_open", "age")
    missed = page.totals_by("crm_requests_due", "level", result="missed", window="30d")
    return BoardNumbers(
        reps=len(page.totals_by("crm_rep_info", "rep").keys() - {UNASSIGNED}),
        waiting=int(sum(ages.values())),
        past_1h=int(sum(ages.get(age, 0) for age in PAST_1H)),
        past_24h=int(ages.get(PAST_1H[-1], 0)),
        breaches={level: int(count) for level, count in missed.items()},
    )


def _program() -> str:
    """The command of this installation, whatever the other terminal's PATH contains."""
    return str(Path(sys.executable).with_name("salespulse"))


def _addresses(name: str, port: int | None, path: str = "") -> tuple[tuple[str, str], ...]:
    return () if port is None else ((name, f"http://{LOOPBACK}:{port}/{path}"),)


def _pairs(*rows: tuple[str, str]) -> Iterator[Text]:
    """Names and values in two columns. Lines stay whole, however narrow the terminal: an address must be."""
    width = max(len(name) for name, _ in rows)
    return (Text(f"  {name:{width}}  {value}") for name, value in rows)


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return "a minute" if seconds == 60 else f"{seconds:.3g} s"
