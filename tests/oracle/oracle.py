"""An independent oracle: the report computed with DuckDB SQL straight from JSON lines.

It knows nothing of the core. The rules are those of the semantics, as `README.md` beside this file pins them down.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

import duckdb

LEVELS: Mapping[str, int] = {"1h": 3600, "24h": 86400}
"""Level to its length in seconds of calendar time."""
STAGES: Mapping[str, Sequence[str]] = {
    "default": ("prospecting", "qualified", "demo", "trial", "proposal", "negotiation"),
}
"""Pipeline to its stages in order."""
WINDOWS: Mapping[str, int | None] = {"today": 1, "7d": 7, "30d": 30, "90d": 90, "365d": 365, "all": None}

SECOND_US = 1_000_000
_SQL = [path.read_text() for path in sorted(Path(__file__).parent.glob("[0-9]_*.sql"))]
_LINES_OF_FILE = """
    CREATE TABLE line AS SELECT 0 AS stream, row_number() OVER () AS line_number, line
    FROM read_csv(?, columns = {'line': 'VARCHAR'}, header = false, delim = '\x01', quote = '', escape = '',
        auto_detect = false, max_line_size = 10000000)
"""
_LINES_OF_STREAMS = """
    CREATE TABLE line AS
    SELECT unnest(?::INTEGER[]) AS stream, unnest(?::BIGINT[]) AS line_number, unnest(?::VARCHAR[]) AS line
"""
_SUBJECTS = """
    SELECT DISTINCT stream, unnest(['reps', 'teams', 'company']) AS scope, unnest([rep_id, team, '']) AS subject
    FROM subject
"""
_Row = dict[str, Any]
_Place = tuple[int, str, str, str]
"""Stream, scope (reps, teams, company), subject, window."""
_Key = tuple[str, str | None, str | None]
"""Measure, key and subkey: ("breaches", "1h", None), ("entered", "default", "demo")."""
_Amounts = Mapping[_Key, int]
"""Counts, microseconds or cents."""
_Quantiles = tuple[float | None, float | None]


def report(
    jsonl_path: Path,
    as_of_us: int | None = None,
    policy_levels: Mapping[str, int] = LEVELS,
    stages: Mapping[str, Sequence[str]] = STAGES,
    zone: str = "UTC",
) -> dict[str, Any]:
    """The report of one JSON-lines file, without `events`. `as_of_us`: microseconds since 1970, or the newest event."""
    with duckdb.connect() as database:
        database.execute(_LINES_OF_FILE, [str(jsonl_path)])
        return _Oracle(database, [as_of_us], policy_levels, stages, zone).reports()[0]


@contextmanager
def opened(jsonl_path: Path, as_of_us: int | None = None) -> Iterator[Callable[[str], list[_Row]]]:
    """A function that puts a question in SQL to the tables behind the report of one JSON-lines file."""
    with duckdb.connect() as database:
        database.execute(_LINES_OF_FILE, [str(jsonl_path)])
        yield _Oracle(database, [as_of_us], LEVELS, STAGES, "UTC").rows


def reports(
    streams: Sequence[tuple[Sequence[str], int | None]],
    policy_levels: Mapping[str, int] = LEVELS,
    stages: Mapping[str, Sequence[str]] = STAGES,
    zone: str = "UTC",
) -> list[dict[str, Any]]:
    """The reports of many streams, each its JSON lines and `as_of_us`, which share nothing but the run."""
    flat = [(i, n, line) for i, (lines, _) in enumerate(streams) for n, line in enumerate(lines)]
    columns = [[row[i] for row in flat] for i in range(3)]
    with duckdb.connect() as database:
        database.execute(_LINES_OF_STREAMS, columns)
        return _Oracle(database, [as_of_us for _, as_of_us in streams], policy_levels, stages, zone).reports()


class _Oracle:
    """The SQL over one connection, and its answers as reports."""

    def __init__(
        self,
        database: duckdb.DuckDBPyConnection,
        as_of_us: Sequence[int | None],
        levels: Mapping[str, int],
        stages: Mapping[str, Sequence[str]],
        zone: str,
    ) -> None:
        self._database = database
        self._levels = levels
        self._stages = stages
        self._streams = len(as_of_us)
        self._configure(as_of_us, zone)
        for script in _SQL:
            database.execute(script)

    def _configure(self, as_of_us: Sequence[int | None], zone: str) -> None:
        self._database.execute("SET TimeZone = 'UTC'")
        self._table("config", "zone VARCHAR, currency VARCHAR", [(zone, "USD")])
        self._table("asked", "stream INTEGER, as_of BIGINT", list(enumerate(as_of_us)))
        limits = [(level, seconds * SECOND_US) for level, seconds in self._levels.items()]
        self._table("level", "level VARCHAR, limit_us BIGINT", limits)
        places = [(name, stage, i) for name, stages in self._stages.items() for i, stage in enumerate(stages)]
        self._table("stage", "pipeline VARCHAR, stage VARCHAR, place INTEGER", places)
        self._table("time_window", "window_name VARCHAR, days INTEGER", list(WINDOWS.items()))

    def _table(self, name: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> None:
        self._database.execute(f"CREATE TABLE {name} ({columns})")
        for row in rows:
            self._database.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)

    def rows(self, query: str) -> list[_Row]:
        """The answer to a question in SQL."""
        cursor = self._database.execute(query)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def reports(self) -> list[dict[str, Any]]:
        """One report for each stream, also for those without any line."""
        found = [self._empty() for _ in range(self._streams)]
        for row in self.rows("FROM moment"):
            found[row["stream"]]["as_of"] = instant(row["as_of"])
        self._fill_subjects(found)
        for row in self.rows("FROM bounded_segment ORDER BY segment"):
            found[row["stream"]]["segments"][row["segment"]] = _segment(row)
        for row in self.rows("FROM open_request ORDER BY opened_at, customer_id, request_id"):
            found[row["stream"]]["open_requests"].append(_open_request(row))
        for row in self.rows("FROM alert ORDER BY due_at, alert_id"):
            found[row["stream"]]["alerts"].append(_alert(row))
        return found

    def _empty(self) -> dict[str, Any]:
        company = {window: self._numbers({}, (None, None)) for window in WINDOWS}
        lists: dict[str, Any] = {"open_requests": [], "alerts": []}
        return {"as_of": None, "reps": {}, "teams": {}, "company": company, "segments": {}} | lists

    def _fill_subjects(self, found: list[dict[str, Any]]) -> None:
        amounts: dict[_Place, dict[_Key, int]] = defaultdict(dict)
        for row in self.rows("FROM bounded_number"):
            amounts[_place(row)][row["measure"], row["key"], row["subkey"]] = int(row["amount"])
        waits = {_place(row): (row["p50"] / SECOND_US, row["p90"] / SECOND_US) for row in self.rows("FROM quantile")}
        for row in self.rows(_SUBJECTS):
            windows = {window: _place(row | {"window_name": window}) for window in WINDOWS}
            numbers = {
                window: self._numbers(amounts.get(place, {}), waits.get(place, (None, None)))
                for window, place in windows.items()
            }
            into = found[row["stream"]][row["scope"]]
            into.update(numbers if row["scope"] == "company" else {row["subject"]: numbers})

    def _numbers(self, amounts: _Amounts, quantiles: _Quantiles) -> dict[str, Any]:
        """One subject and window in the report's shape."""
        return (
            _response_numbers(amounts, quantiles, list(self._levels))
            | _opportunity_numbers(amounts)
            | {"activities": _keyed(amounts, "activities"), "stages": self._stage_numbers(amounts)}
            | {"recontactable_customers": _plain(amounts, "recontactable_customers")}
        )

    def _stage_numbers(self, amounts: _Amounts) -> dict[str, dict[str, Any]]:
        return {
            pipeline: {stage: _stage(amounts, pipeline, stage) for stage in stages}
            for pipeline, stages in self._stages.items()
        }


def _response_numbers(amounts: _Amounts, quantiles: _Quantiles, levels: Sequence[str]) -> dict[str, Any]:
    """Without a working calendar every instant is working time: business seconds are the calendar's."""
    responses, customers = _plain(amounts, "responses"), _plain(amounts, "customers_answered")
    wait_us = _plain(amounts, "response_us")
    within, breaches = _keyed(amounts, "answered_within"), _keyed(amounts, "breaches")
    return {
        "responses": responses,
        "customers_answered": customers,
        "response_seconds_sum": wait_us / SECOND_US,
        "response_seconds_per_turn": _ratio(wait_us, responses * SECOND_US),
        "response_seconds_per_customer": _ratio(wait_us, customers * SECOND_US),
        "response_seconds_p50": quantiles[0],
        "response_seconds_p90": quantiles[1],
        "business_seconds_sum": wait_us / SECOND_US,
        "hold_seconds_sum": _plain(amounts, "hold_us") / SECOND_US,
        "answered_within": {level: within.get(level, 0) for level in levels},
        "breaches": {level: breaches.get(level, 0) for level in levels},
        "closed_unanswered": _keyed(amounts, "closed_unanswered"),
    }


def _opportunity_numbers(amounts: _Amounts) -> dict[str, Any]:
    won, lost, created = (_plain(amounts, name) for name in ("won", "lost", "opportunities_created"))
    created_won = _plain(amounts, "created_won")
    return {
        "opportunities_created": created,
        "won": won,
        "lost": lost,
        "created_won": created_won,
        "win_rate_created": _ratio(created_won, created),
        "win_rate_closed": _ratio(won, won + lost),
        "won_amount": _money(_plain(amounts, "won_cents")),
        "sales_cycle_won_seconds": _cycle(amounts, "cycle_won"),
        "sales_cycle_lost_seconds": _cycle(amounts, "cycle_lost"),
        "cycle_fallbacks": _plain(amounts, "cycle_fallbacks"),
        "cycle_negative": _plain(amounts, "cycle_negative"),
    }


def _cycle(amounts: _Amounts, outcome: str) -> float | None:
    return _ratio(_plain(amounts, f"{outcome}_us"), _plain(amounts, outcome) * SECOND_US)


def _stage(amounts: _Amounts, pipeline: str, stage: str) -> dict[str, Any]:
    entered, visited, advanced = (amounts.get((m, pipeline, stage), 0) for m in ("entered", "visited", "advanced"))
    return {"entered": entered, "visited": visited, "advanced": advanced, "conversion": _ratio(advanced, entered)}


def _segment(row: _Row) -> dict[str, Any]:
    customers, revenue, cost = (int(row[name]) for name in ("customers", "revenue", "cost"))
    mean = (Decimal(revenue - cost) / customers).to_integral_value(ROUND_HALF_EVEN)
    return {
        "customers": customers,
        "revenue": _money(revenue),
        "cost": _money(cost),
        "lifetime_value": _money(int(mean)),
    }


def _open_request(row: _Row) -> dict[str, Any]:
    same = {name: row[name] for name in ("request_id", "turn", "customer_id", "rep_id", "levels")}
    return same | {"opened_at": instant(row["opened_at"]), "waiting_seconds": row["waiting_us"] / SECOND_US}


def _alert(row: _Row) -> dict[str, Any]:
    same = {name: row[name] for name in ("alert_id", "request_id", "turn", "level", "rep_id", "state")}
    return same | {"due_at": instant(row["due_at"]), "at": instant(row["at_us"])}


def _place(row: _Row) -> _Place:
    return row["stream"], row["scope"], row["subject"], row["window_name"]


def _plain(amounts: _Amounts, measure: str) -> int:
    return amounts.get((measure, None, None), 0)


def _keyed(amounts: _Amounts, measure: str) -> dict[str, int]:
    return {key: amount for (name, key, _), amount in amounts.items() if name == measure and key is not None}


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _money(cents: int) -> str:
    return f"{Decimal(cents) / 100:.2f}"


def instant(us: int) -> str:
    """RFC 3339 in UTC, with as few digits as the instant (microseconds since 1970) needs."""
    text = (datetime(1970, 1, 1) + timedelta(microseconds=us)).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"
