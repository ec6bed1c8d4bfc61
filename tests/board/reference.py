"""The board's metrics again, slowly and by another way: from plain sums and the report's numbers."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from processors.core.reports.measures import numbers_of
from processors.core.reports.window_sums import sums
from schemas.views import OpenOpportunities, OpenRequest, Partial

HOUR_US = 3_600_000_000
BOUNDS = {"300": 1, "900": 2, "3600": 4, "14400": 5, "28800": 6, "86400": 7, "+Inf": 9}
"""Upper bound to how many of the histogram's buckets lie below it."""
STAGES = ("prospecting", "qualified", "demo", "trial", "proposal", "negotiation")
KINDS = ("call", "email", "meeting", "demo")
DAILY = ("today", "7d", "30d")
PIPELINE = "30d"


Add = Callable[..., None]
"""Takes a family's name, labels and, as `value`, a sample's."""


class Rep(msgspec.Struct):
    """All that is known of one rep."""

    name: str
    team: str
    today: int
    partials: list[tuple[int, Partial]] = []
    open: list[OpenRequest] = []
    standing: list[OpenOpportunities] = []


class Reference(Collector):
    """Every series of every rep, as prometheus_client makes them."""

    def __init__(self, reps: Mapping[str, Rep], now_us: int) -> None:
        self._reps = reps
        self._now_us = now_us

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._people()
        yield from self._counts()
        yield from self._labelled()

    def _family(self, name: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, name, labels=["rep", "team", *labels])

    def _people(self) -> Iterator[GaugeMetricFamily]:
        info = self._family("crm_rep_info", "rep_name")
        waiting = self._family("crm_requests_open", "age")
        oldest = self._family("crm_request_oldest_open_timestamp_seconds")
        standing = self._family("crm_opportunities_open", "stage")
        for rep_id, rep in self._reps.items():
            who = [rep_id, rep.team]
            info.add_metric([*who, rep.name], 1)
            ages = [(self._now_us - request.opened_us) / HOUR_US for request in rep.open]
            waiting.add_metric([*who, "lt1h"], sum(age <= 1 for age in ages))
            waiting.add_metric([*who, "1h_24h"], sum(1 < age <= 24 for age in ages))
            waiting.add_metric([*who, "gt24h"], sum(age > 24 for age in ages))
            oldest.add_metric(who, min((request.opened_us / 1e6 for request in rep.open), default=0))
            for stage in ("_none", *STAGES):
                count = sum(one.opportunities.get("default", {}).get(stage, 0) for one in rep.standing)
                standing.add_metric([*who, stage], count)
        yield from (info, waiting, oldest, standing)

    def _windows(self) -> Iterator[tuple[list[str], str, Partial]]:
        for rep_id, rep in self._reps.items():
            days: dict[int, list[Partial]] = {}
            for day, partial in rep.partials:
                days.setdefault(day, []).append(partial)
            for window, part in sums(days, rep.today).items():
                yield [rep_id, rep.team], window, part

    def _counts(self) -> Iterator[GaugeMetricFamily]:
        fields = {
            "crm_recontactable_customers": "recontactable_customers",
            "crm_responses": "responses",
            "crm_response_seconds_sum": "response_seconds_sum",
            "crm_customers_answered": "customers_answered",
            "crm_opportunities_created": "opportunities_created",
            "crm_opportunities_won": "won",
            "crm_opportunities_lost": "lost",
            "crm_opportunities_created_won": "created_won",
            "crm_won_amount": "won_amount",
        }
        families = {name: self._family(name, "window") for name in fields}
        for who, window, part in self._windows():
            if window not in DAILY:
                continue
            numbers = numbers_of(part, ("1h", "24h"), {"default": STAGES})
            for name, field in fields.items():
                if window != PIPELINE and name.startswith(("crm_opportunities", "crm_won")):
                    continue
                families[name].add_metric([*who, window], float(getattr(numbers, field)))
        yield from families.values()

    def _labelled(self) -> Iterator[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}

        def add(name: str, labels: Sequence[tuple[str, str]], who: list[str], value: float) -> None:
            family = families.setdefault(name, self._family(name, *(label for label, _ in labels)))
            family.add_metric([*who, *(value for _, value in labels)], value)

        for who, window, part in self._windows():
            at = ("window", window)
            if window in DAILY:
                self._daily(functools.partial(add, who=who), at, part)
            if window == PIPELINE:
                self._pipeline(functools.partial(add, who=who), at, part)
            if window == "7d":
                for bound, count in BOUNDS.items():
                    add("crm_response_seconds_bucket", [at, ("le", bound)], who, sum(part.response_buckets[:count]))
        yield from families.values()

    def _daily(self, add: Add, at: tuple[str, str], part: Partial) -> None:
        for kind in KINDS:
            add("crm_activities", [("kind", kind), at], value=part.activities.get(kind, 0))
        others = sum(count for kind, count in part.activities.items() if kind not in KINDS)
        add("crm_activities", [("kind", "_other"), at], value=others)
        for level in ("1h", "24h"):
            for result, counts in (("met", part.answered_within), ("missed", part.breaches)):
                add("crm_requests_due", [("level", level), ("result", result), at], value=counts.get(level, 0))

    def _pipeline(self, add: Add, at: tuple[str, str], part: Partial) -> None:
        for outcome, us, count in (
            ("won", part.cycle_won_us, part.cycle_won),
            ("lost", part.cycle_lost_us, part.cycle_lost),
        ):
            add("crm_sales_cycle_seconds_sum", [("outcome", outcome), at], value=us / 1e6)
            add("crm_sales_cycle_seconds_count", [("outcome", outcome), at], value=count)
        for stage in STAGES:
            entered, _, advanced = part.stages.get("default", {}).get(stage, [0, 0, 0])
            for name, value in (("entered", entered), ("advanced", advanced)):
                add(f"crm_stage_{name}", [("pipeline", "default"), ("stage", stage), at], value=value)
