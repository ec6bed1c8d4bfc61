"""What the boards have to show, from the oracle: SQL over the very lines that were sent, and no code of the core."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.events import RepUpdated
from tests.oracle.oracle import opened

SECOND_US = 1_000_000
BOUNDS_SECONDS = (300, 900, 3600, 14400, 28800, 86400)
AGES = ("lt1h", "1h_24h", "gt24h")

_OPEN_OPPORTUNITIES = """
    WITH named AS (
        SELECT customer_id, opportunity_id, rep_id, stage, type, at_us, event_id,
            list_position(['opportunity.created', 'opportunity.assigned', 'opportunity.stage_entered',
                'opportunity.reopened'], type) AS rank
        FROM fact
        WHERE rank > 0
    )
    SELECT coalesce(arg_max(stage, (at_us, event_id)) FILTER (type = 'opportunity.stage_entered'), '_none') AS stage,
        arg_max(rep_id, (at_us, rank, event_id)) FILTER (type <> 'opportunity.stage_entered') AS rep_id
    FROM named
    ANTI JOIN close USING (customer_id, opportunity_id)
    GROUP BY customer_id, opportunity_id
"""
_ANSWERED_IN_A_WEEK = """
    SELECT rep_id, amount AS wait_us
    FROM credit JOIN subject USING (stream, rep_id)
    WHERE measure = 'response_us' AND local_day(at_us, zone) > today - 7
"""
_SIZES = """
    SELECT count(*) AS facts, count(DISTINCT customer_id) AS customers,
        count(DISTINCT (customer_id, request_id)) FILTER (type IN ('request.opened', 'request.assigned',
            'request.answered', 'request.closed') AND request_id IS NOT NULL) AS requests,
        count(DISTINCT (customer_id, opportunity_id)) FILTER (type LIKE 'opportunity.%') AS opportunities,
        (SELECT count(*) FROM open_request) AS open_requests
    FROM known
"""

_DUE_LATELY = """
    SELECT responder AS rep_id, level, 'met' AS result, count(*) AS turns
    FROM due WHERE state = 'answered' AND NOT breached AND due_at >= as_of - {age_us}
    GROUP BY ALL
    UNION ALL
    SELECT ownership.rep_id, level, 'missed', count(*)
    FROM due JOIN ownership ON ownership.root = due.root AND since <= due_at AND due_at < until
    WHERE breached AND due_at >= as_of - {age_us}
    GROUP BY ALL
"""
_UNLINKED_IN_A_WEEK = """
    SELECT count(*) AS answers
    FROM known JOIN moment USING (stream)
    WHERE type = 'request.answered' AND request_id IS NULL AND NOT automated AND NOT internal
        AND local_day(at_us, 'UTC') > local_day(as_of, 'UTC') - 7
"""


@dataclass(frozen=True)
class Key:
    """A number of a rep in a window."""

    rep: str
    window: str
    measure: str
    key: str | None = None
    subkey: str | None = None


class Truth:
    """The oracle's answers about a file of JSON lines at an instant."""

    def __init__(self, path: Path, as_of_us: int, reps: Iterable[RepUpdated], lately_us: int) -> None:
        """`lately_us`: so far back deadlines are no history."""
        self.people = {rep.rep_id: (rep.name, rep.team or "unknown") for rep in reps}
        with opened(path, as_of_us) as ask:
            for row in ask("SELECT rep_id, team FROM subject"):
                self.people.setdefault(row["rep_id"], (row["rep_id"], row["team"]))
            self._numbers = {_key(row): int(row["amount"]) for row in ask("FROM number WHERE scope = 'reps'")}
            self._pooled = {
                (row["subject"], row["window_name"], row["measure"]): int(row["amount"])
                for row in ask("FROM number WHERE scope <> 'reps' AND measure = 'customers_answered'")
            }
            self.waiting = ask("FROM open_request")
            self.segments = {row["segment"]: row for row in ask("FROM segment")}
            self.open_opportunities = Counter((row["rep_id"], row["stage"]) for row in ask(_OPEN_OPPORTUNITIES))
            self._waits: defaultdict[str, list[float]] = defaultdict(list)
            for row in ask(_ANSWERED_IN_A_WEEK):
                self._waits[row["rep_id"]].append(row["wait_us"] / SECOND_US)
            self.types = {
                row["type"]: row["events"] for row in ask("SELECT type, count(*) AS events FROM known GROUP BY 1")
            }
            self.newest_seconds = (as_of_us - ask("SELECT max(at_us) AS at FROM known")[0]["at"]) / SECOND_US
            self.sizes = ask(_SIZES)[0]
            self.unlinked: int = ask(_UNLINKED_IN_A_WEEK)[0]["answers"]
            self._lately = ask(_DUE_LATELY.format(age_us=lately_us))
            self.alerts = {row["alert_id"]: row for row in ask(f"FROM alert WHERE due_at >= {as_of_us - lately_us}")}

    def teams(self) -> list[str]:
        """All teams."""
        return sorted({team for _, team in self.people.values()})

    def of(self, team: str) -> list[str]:
        """The reps of a team."""
        return [rep for rep, (_, own) in self.people.items() if own == team]

    def due_lately(self, team: str, level: str, result: str) -> int:
        """How many turns of a team met or missed a deadline that is no history."""
        rows = (row for row in self._lately if (row["level"], row["result"]) == (level, result))
        return sum(row["turns"] for row in rows if self.people[row["rep_id"]][1] == team)

    def kinds(self) -> set[str]:
        """Every kind of activity."""
        return {str(key.key) for key in self._numbers if key.measure == "activities"}

    def number(self, rep: str, window: str, measure: str, key: str | None = None, subkey: str | None = None) -> int:
        """One number: a count, microseconds or cents."""
        return self._numbers.get(Key(rep, window, measure, key, subkey), 0)

    def customers_answered(self, team: str, window: str) -> int:
        """Distinct customers of a team, or of the company (`""`)."""
        return self._pooled.get((team, window, "customers_answered"), 0)

    def activities(self, rep: str, window: str) -> int:
        """Activities of every kind."""
        return sum(self.number(rep, window, "activities", kind) for kind in self.kinds())

    def open_by_age(self, reps: Iterable[str]) -> dict[str, int]:
        """How many wait, by the levels that they have passed."""
        chosen = set(reps)
        found = Counter(AGES[len(row["levels"])] for row in self.waiting if row["rep_id"] in chosen)
        return {age: found[age] for age in AGES}

    def longest_wait(self, rep: str) -> float | None:
        """Seconds; None when nobody waits."""
        return max((row["waiting_us"] / SECOND_US for row in self.waiting if row["rep_id"] == rep), default=None)

    def buckets(self, reps: Iterable[str]) -> dict[str, int]:
        """Waits of the last 7 days' answers that took at most so long, by bound as it is written."""
        waits = [wait for rep in reps for wait in self._waits[rep]]
        below = {str(bound): sum(wait <= bound for wait in waits) for bound in BOUNDS_SECONDS}
        return below | {"+Inf": len(waits)}


def _key(row: Mapping[str, Any]) -> Key:
    return Key(row["subject"], row["window_name"], row["measure"], row["key"], row["subkey"])


def quantile(share: float, buckets: Mapping[str, float]) -> float | None:
    """A quantile as one estimates it from cumulative buckets: linear within the bucket in which it lies."""
    bounds = sorted((float(bound), count) for bound, count in buckets.items())
    rank, below, lower = share * bounds[-1][1], 0.0, 0.0
    if bounds[-1][1] == 0:
        return None
    for bound, count in bounds:
        if count >= rank and count > below:
            return lower if bound == float("inf") else lower + (bound - lower) * (rank - below) / (count - below)
        below, lower = count, (lower if bound == float("inf") else bound)
    return lower
