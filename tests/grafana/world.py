"""A small world of three reps in two teams: what board, worker and notifier export, so that queries have values."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, product
from pathlib import Path
from threading import Thread

import yaml

from config.prometheus import native
from tests.grafana.catalogue import COUNTERS, HISTOGRAMS
from tests.grafana.prometheus import instant, running_prometheus, wait_for
from tests.rules.programs import RULE_FILES

REPS = {"r1": ("Ann", "east", 1), "r2": ('Böb \\"B\\"', "east", 2), "r3": ("王伟", "west", 3)}
"""By id: name (escaped), team, and a weight that makes their numbers differ."""
WINDOWS = ("today", "7d", "30d")
STAGES = {"prospecting": (40, 20), "qualified": (20, 10), "demo": (10, 2)}
"""Reached and advanced, times the weight."""
CUSTOMERS = {"east": (12, 8), "west": (15, 9), "south": (1, 0), "north": (0, 0)}
"""Distinct customers of each team, answered and won for a second contact; of the company: 20 and 15."""
ENDLESS = "+Inf"

WINDOWED: Mapping[str, int] = {
    "crm_recontactable_customers": 3,
    "crm_responses": 10,
    "crm_response_seconds_sum": 18000,
    "crm_customers_answered": 5,
    "crm_opportunities_created": 40,
    "crm_opportunities_won": 6,
    "crm_opportunities_lost": 2,
    "crm_opportunities_created_won": 8,
    "crm_won_amount": 1000,
}
"""Numbers of a rep in each window, times the weight."""
RECORDS = [
    rule["record"]
    for path in RULE_FILES
    for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
    if "record" in rule
]

Line = tuple[str, Mapping[str, object], float]


def business(_: int = 0) -> Iterator[Line]:
    """What the board exports, at every scrape."""
    for rep, (name, team, weight) in REPS.items():
        own = {"rep": rep, "team": team}
        yield "crm_rep_info", {**own, "rep_name": name}, 1
        yield "crm_request_oldest_open_timestamp_seconds", own, time.time() - 7200 * weight
        for age, waiting in (("lt1h", 5), ("1h_24h", 2), ("gt24h", 1)):
            yield "crm_requests_open", {**own, "age": age}, waiting * weight
        for stage in STAGES:
            yield "crm_opportunities_open", {**own, "stage": stage}, weight
        for window in WINDOWS:
            yield from _windowed({**own, "window": window}, weight)
    yield from _company()


def _windowed(labels: Mapping[str, object], weight: int) -> Iterator[Line]:
    for name, value in WINDOWED.items():
        yield name, labels, value * weight
    for kind, value in (("call", 7), ("email", 3)):
        yield "crm_activities", {**labels, "kind": kind}, value * weight
    for (level, missed), result in product((("1h", 2), ("24h", 1)), ("met", "missed")):
        yield "crm_requests_due", {**labels, "level": level, "result": result}, missed if result == "missed" else 8
    for outcome in ("won", "lost"):
        yield "crm_sales_cycle_seconds_sum", {**labels, "outcome": outcome}, 86400 * weight
        yield "crm_sales_cycle_seconds_count", {**labels, "outcome": outcome}, weight
    for stage, (reached, advanced) in STAGES.items():
        place = {**labels, "pipeline": "default", "stage": stage}
        yield "crm_stage_entered", place, reached * weight
        yield "crm_stage_advanced", place, advanced * weight
    if labels["window"] == "7d":
        for bound, below in ((300, 2), (3600, 8), (86400, 10), (ENDLESS, 10)):
            yield "crm_response_seconds_bucket", {**labels, "le": bound}, below * weight


def _company() -> Iterator[Line]:
    for segment, customers in (("enterprise", 2), ("unknown", 8)):
        yield "crm_customers", {"segment": segment}, customers
        yield "crm_customer_revenue_amount", {"segment": segment}, 1000
        yield "crm_customer_cost_amount", {"segment": segment}, 200
    for window in WINDOWS:
        for team, (answered, recontactable) in CUSTOMERS.items():
            yield "crm_team_customers_answered", {"team": team, "window": window}, answered
            yield "crm_team_recontactable_customers", {"team": team, "window": window}, recontactable
        yield "crm_company_customers_answered", {"window": window}, 20
        yield "crm_company_recontactable_customers", {"window": window}, 15
        yield "crm_data_quality", {"reason": "duplicate", "window": window}, 4
    for label in ("kind", "rep", "segment", "team"):
        yield "salespulse_folded", {"label": label}, 3
    yield "salespulse_read_model_timestamp_seconds", {"partition": "crm.events/0"}, time.time() - 2


NOTIFIERS = {"salespulse_notifications_total", "salespulse_notifier_restarts_total"}
"""Counters that no worker has."""


def worker_lines(tick: int) -> Iterator[Line]:
    """What a worker exports at its n-th scrape."""
    values = {"type": "request.opened", "result": "missed", "reason": "orphan", "team": "east", "level": "1h"}
    values |= {"state": "fired"}
    for name in COUNTERS.keys() - NOTIFIERS:
        yield name, {label: values[label] for label in COUNTERS[name]}, 10 * tick
    yield "salespulse_sla_outcomes_total", {"team": "east", "level": "1h", "result": "met"}, 30 * tick
    for name in HISTOGRAMS:
        for bound, share in ((0.5, 0.9), (1, 1), (ENDLESS, 1)):
            yield f"{name}_bucket", {"le": bound}, 10 * share * tick
        yield f"{name}_sum", {}, 3 * tick
        yield f"{name}_count", {}, 10 * tick
    yield "salespulse_consumer_lag_records", {"topic": "crm.events", "partition": 0}, 12
    yield "salespulse_roots", {"kind": "customers"}, 1000
    for name in (
        "salespulse_consumer_lag_seconds",
        "salespulse_redis_up",
        "salespulse_kafka_up",
        "process_resident_memory_bytes",
    ):
        yield name, {}, 1
    yield "salespulse_partitions_owned", {}, 4
    yield "salespulse_input_partitions", {}, 4


def notifier_lines(tick: int) -> Iterator[Line]:
    """What the notifier exports at its n-th scrape."""
    for result in ("sent", "failed"):
        yield "salespulse_notifications_total", {"receiver": "slack", "result": result}, 10 * tick
    yield "salespulse_notifier_restarts_total", {"receiver": "slack"}, 0
    yield "process_cpu_seconds_total", {}, tick


EXPORTS: Mapping[str, Callable[[int], Iterator[Line]]] = {
    "board": business,
    "worker": worker_lines,
    "notifier": notifier_lines,
}


def exposition(lines: Iterator[Line]) -> str:
    """The text format of Prometheus."""
    return "".join(f"{name}{{{_labels(labels)}}} {value}\n" for name, labels, value in lines)


def _labels(labels: Mapping[str, object]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())


@contextmanager
def exporter(kind: str) -> Iterator[str]:
    """The address of a program of the small world: `board`, `worker` or `notifier`."""
    ticks = count(1)

    class Metrics(BaseHTTPRequestHandler):
        """Answers each scrape; counters grow from one to the next."""

        def do_GET(self) -> None:
            """Write the exposition."""
            body = exposition(EXPORTS[kind](next(ticks))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing: the test does."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Metrics) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def scraped(folder: Path) -> Iterator[str]:
    """The address of a Prometheus with the shipped rules that scrapes the small world, two boards of it."""
    with ExitStack() as stack:
        boards = [stack.enter_context(exporter("board")) for _ in range(2)]
        worker, notifier = (stack.enter_context(exporter(kind)) for kind in ("worker", "notifier"))
        targets = {"board": boards, "worker": [worker], "notifier": [notifier]}
        (folder / "prometheus.yml").write_text(native.render(targets, interval_seconds=1), encoding="utf-8")
        address = stack.enter_context(running_prometheus(folder))
        # A rate has a value once its target was scraped twice; the records tell so of some targets only.
        count = sum(map(len, targets.values()))
        for expression in (f"count(sum_over_time(up[1m]) > 1) == {count}", *RECORDS):
            wait_for(partial(instant, address), expression)
        yield address
