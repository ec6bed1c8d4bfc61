"""The report: every family of numbers for reps, teams, company and segments, and who waits now."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from processors.core.folds.lifetime_value_fold import sum_of_segments
from processors.core.ledger.ledger import Ledger
from processors.core.ledger.ledger_view import LedgerView
from processors.core.reports.measures import Quantiles, numbers_of, segment_of
from processors.core.reports.window_sums import add, sums
from processors.core.state.directory import Directory
from processors.core.time.instants import SECOND_US, rfc3339
from processors.core.time.last_days import today_in
from processors.core.time.windows import WINDOWS, in_window
from processors.core.time.zones import zone_days
from schemas.policy import Policy
from schemas.views import Partial, Scope, Segment

Waits = dict[str, dict[int, list[int]]]
"""Response times in microseconds, by rep and local day."""
Sums = dict[str, Partial]
"""The summed partial of each window."""


class Report:
    """Reads ledgers at one instant, to which time was advanced."""

    def __init__(self, ledgers: Sequence[Ledger], directory: Directory, policy: Policy, as_of_us: int) -> None:
        self._ledgers = [ledger.view() for ledger in ledgers]
        self._directory = directory
        self._policy = policy
        self._as_of_us = as_of_us
        self._levels = policy.level_names
        self._waits = _waits(self._ledgers)

    def build(self, events: dict[str, int]) -> dict[str, Any]:
        """The report of all numbers, as plain values; `events` are the counts of what was read."""
        reps = {rep_id: self._rep_sums(rep_id) for rep_id in self._rep_ids()}
        waits = {rep_id: self._rep_waits(rep_id) for rep_id in reps}
        teams: dict[str, list[str]] = defaultdict(list)
        for rep_id in reps:
            teams[self._directory.team(rep_id)].append(rep_id)
        report = {
            "as_of": rfc3339(self._as_of_us),
            "events": events,
            "reps": {rep: self._windows(sums, waits[rep]) for rep, sums in reps.items()},
            "teams": {team: self._pooled("team", team, reps, waits, ids) for team, ids in teams.items()},
            "company": self._pooled("company", "", reps, waits, list(reps)),
            "segments": {name: segment_of(segment) for name, segment in self._segments().items()},
            "open_requests": self._open_requests(),
            "alerts": self._alerts(),
        }
        return dict(msgspec.to_builtins(report))

    def _rep_ids(self) -> list[str]:
        """Reps with any number, and all of the directory."""
        active = {rep_id for ledger in self._ledgers for rep_id in ledger.active_reps()}
        return sorted(active | {rep.rep_id for rep in self._directory})

    def _rep_sums(self, rep_id: str) -> Sums:
        today = zone_days(self._directory.zone(rep_id)).day(self._as_of_us)
        days: dict[int, list[Partial]] = defaultdict(list)
        for ledger in self._ledgers:
            for day, partial in ledger.partials(rep_id).items():
                days[day].append(partial)
        return sums(days, today)

    def _customers(self, scope: Scope, subject: str) -> Sums:
        """The distinct counts of a team, or of the company: every window ends on the today of the zones that count."""
        total: Sums = {window: Partial() for window in WINDOWS}
        for ledger in self._ledgers:
            for zones, partials in ledger.pooled_partials(scope, subject):
                days = {day: [partial] for day, partial in partials.items()}
                for window, part in sums(days, today_in(zones, self._as_of_us)).items():
                    add(total[window], part)
        return total

    def _rep_waits(self, rep_id: str) -> dict[str, list[int]]:
        today = zone_days(self._directory.zone(rep_id)).day(self._as_of_us)
        days = self._waits.get(rep_id, {})
        return {
            window: [w for day, ws in days.items() if in_window(window, today, day) for w in ws] for window in WINDOWS
        }

    def _windows(self, sums: Sums, waits: dict[str, list[int]]) -> dict[str, Any]:
        pipelines, kinds = self._policy.pipelines, self._policy.kinds
        return {
            window: numbers_of(partial, self._levels, pipelines, _quantiles(waits[window]), kinds)
            for window, partial in sums.items()
        }

    def _pooled(
        self, scope: Scope, subject: str, reps: dict[str, Sums], waits: dict[str, dict[str, list[int]]], ids: list[str]
    ) -> dict[str, Any]:
        """Sums over the reps' own windows; the distinct counts are the team's or company's own."""
        distinct = self._customers(scope, subject)
        pooled: Sums = {window: Partial() for window in WINDOWS}
        for window, into in pooled.items():
            for rep_id in ids:
                add(into, reps[rep_id][window])
            into.customers_answered = distinct[window].customers_answered
            into.recontactable_customers = distinct[window].recontactable_customers
        return self._windows(pooled, {window: [w for rep in ids for w in waits[rep][window]] for window in WINDOWS})

    def _segments(self) -> dict[str, Segment]:
        return sum_of_segments(ledger.segments() for ledger in self._ledgers)

    def _open_requests(self) -> list[dict[str, Any]]:
        views = [view for ledger in self._ledgers for view in ledger.open_requests()]
        views.sort(key=lambda view: (view.opened_us, view.customer_id, view.request_id))
        return [
            {
                "request_id": view.request_id,
                "turn": view.turn,
                "customer_id": view.customer_id,
                "rep_id": view.rep_id,
                "opened_at": rfc3339(view.opened_us),
                "waiting_seconds": (self._as_of_us - view.opened_us) / SECOND_US,
                "levels": [level for level, due_us in view.due_us.items() if due_us < self._as_of_us],
            }
            for view in views
        ]

    def _alerts(self) -> list[dict[str, Any]]:
        """Every deadline that was passed: fired while the customer waits, resolved when the turn ended."""
        passed = [last for ledger in self._ledgers for last in ledger.passed_deadlines(self._as_of_us)]
        passed.sort(key=lambda last: (last.due_us, last.alert_id))
        return [
            {
                "alert_id": last.alert_id,
                "request_id": last.request_id,
                "turn": last.turn,
                "level": last.level,
                "rep_id": last.rep_id,
                "state": last.state,
                "due_at": rfc3339(last.due_us),
                "at": rfc3339(last.at_us),
            }
            for last in passed
        ]


def _waits(ledgers: Iterable[LedgerView]) -> Waits:
    waits: Waits = defaultdict(lambda: defaultdict(list))
    for ledger in ledgers:
        for turn in ledger.turns():
            if turn.ending == "answered":
                day = ledger.local_day(turn.responder, turn.end_us)
                waits[turn.responder][day].append(turn.wait_us)
    return waits


def _quantiles(waits: list[int]) -> Quantiles:
    """Exact p50 and p90 in seconds, linearly interpolated between the two nearest."""
    waits.sort()
    return _quantile(waits, 1, 2), _quantile(waits, 9, 10)


def _quantile(ordered: list[int], numerator: int, denominator: int) -> float | None:
    if not ordered:
        return None
    low, rest = divmod((len(ordered) - 1) * numerator, denominator)
    high = min(low + 1, len(ordered) - 1)
    return (ordered[low] * denominator + (ordered[high] - ordered[low]) * rest) / (denominator * SECOND_US)
