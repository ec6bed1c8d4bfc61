"""SLA: who waits, which promises are broken, how fast the objective's budget burns, and whether alerts are in time."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import promql as q
from grafana.kit import Board
from grafana.panels import ANY_ORANGE, ANY_RED, SHARE, WAIT, Column, Look, Query
from grafana.words import Words

ALLOWED = 0.05
"""The share of turns that may miss the 1 h target; the same number stands in the rules of the objective."""
BURN = ((1.0, "orange"), (14.4, "red"))


def build(words: Words) -> Dashboard:
    """The board in one language."""
    board = Board("sla", words, ("team", "window_today"))
    _answer(board)
    board.row("waiting_now")
    _waiting(board)
    board.row("breaches_and_budget")
    _budget(board)
    board.row("alerts")
    _alerts(board)
    return board.build()


def _answer(board: Board) -> None:
    waiting = f"sum(team_age:crm_requests_open:sum{{{q.TEAM}%s}})"
    board.stat("waiting", waiting % "", Look(width=4, height=5))
    board.stat("over_1h", waiting % f", {q.OVER_1H}", Look(width=4, height=5, steps=ANY_ORANGE))
    board.stat("over_24h", waiting % f", {q.OVER_24H}", Look(width=4, height=5, steps=ANY_RED))
    start = q.each("crm_request_oldest_open_timestamp_seconds", "rep", q.TEAM)
    board.stat("longest_wait", f"max(time() - ({start} > 0))", Look("s", 4, 5, WAIT))
    record = "team_level_result_window:crm_requests_due:sum"
    share = q.ratio(q.summed(record, q.WITHIN_1H), q.summed(record, 'level="1h"'))
    board.stat("within_1h", share, Look("percentunit", 4, 5, SHARE))
    lag = q.quantile(0.99, "salespulse_alert_lag_seconds")
    board.stat("alert_lag", lag, Look("s", 4, 5, ((1, "red"),)))


def _waiting(board: Board) -> None:
    start = q.each("crm_request_oldest_open_timestamp_seconds", "rep", q.TEAM)
    every = q.total("crm_requests_open", "rep", "age", q.TEAM)
    over = q.total("crm_requests_open", "rep", "age", q.TEAM, q.OVER_1H)
    columns = [
        Column("longest_wait", q.named(f"time() - ({start} > 0)"), "s", WAIT),
        Column("waiting", q.named(f"{every} > 0")),
        Column("waiting_over_1h", q.named(f"{over} > 0"), steps=ANY_ORANGE),
        Column(
            "waiting_over_24h", q.named(f"{q.each('crm_requests_open', 'rep', q.TEAM, q.OVER_24H)} > 0"), steps=ANY_RED
        ),
    ]
    board.table("waiting_by_rep", Look(width=14, height=10), ("rep_name", "team", "rep"), columns)
    by_age = f"sum by (age) (team_age:crm_requests_open:sum{{{q.TEAM}, %s}})"
    board.ages("open_by_age", Look(width=10, height=10), by_age)


def _budget(board: Board) -> None:
    missed = f'sum by (level) (team_level_result_window:crm_requests_due:sum{{{q.TEAM}, {q.WINDOW}, result="missed"}})'
    board.lines("breaches", Look(steps=ANY_ORANGE), Query(missed, "{{level}}"))
    worst = [
        Query(f"max(team:salespulse_sla_missed:ratio_rate{window}{{{q.TEAM}}} >= 0) / {ALLOWED}", window)
        for window in ("1h", "6h", "1d", "3d")
    ]
    board.lines("burn_rates", Look(steps=BURN), *worst)
    # Without a turn in the hour a team has no share: `>= 0` leaves out what is not a number.
    by_team = f"sort_desc(team:salespulse_sla_missed:ratio_rate1h{{{q.TEAM}}} / {ALLOWED} >= 0)"
    board.bars("burn_by_team", Look(steps=BURN), Query(by_team, "{{team}}"))


def _alerts(board: Board) -> None:
    metric = "salespulse_alert_lag_seconds"
    board.lines(
        "alert_lags",
        Look("s", steps=((1, "red"),)),
        Query(q.quantile(0.5, metric), "@p50"),
        Query(q.quantile(0.99, metric), "@p99"),
    )
    transitions = q.rate("salespulse_alert_transitions_total", "level, state")
    board.lines("transitions", Look("ops"), Query(transitions, "{{level}} {{state}}"))
    sent = q.rate("salespulse_notifications_total", "receiver, result")
    board.lines("notifications", Look("ops"), Query(sent, "{{receiver}} {{result}}"))
