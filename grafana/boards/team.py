"""Team today: who waits, how fast the team answers, and a leaderboard of several numbers side by side."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import promql as q
from grafana.kit import Board
from grafana.panels import ANY_ORANGE, ANY_RED, SHARE, WAIT, Column, Look, Query
from grafana.words import Words

MET = f"team_level_result_window:crm_requests_due:sum{{{q.TEAM}, {q.WINDOW}, {q.WITHIN_1H}}}"
DUE = f'team_level_result_window:crm_requests_due:sum{{{q.TEAM}, {q.WINDOW}, level="1h"}}'
SECONDS = q.summed("team_window:crm_response_seconds_sum:sum")
FEW = 10
"""Bars that fit into a panel."""


def build(words: Words) -> Dashboard:
    """The board in one language."""
    board = Board("team", words, ("team", "window_today", "opportunity_window"))
    _answer(board)
    board.row("leaderboards")
    board.table("leaderboard", Look(width=24, height=12), ("rep_name", "team", "rep"), _leaderboard())
    board.row("over_time")
    _over_time(board)
    board.row("activities")
    _activities(board)
    return board.build()


def _answer(board: Board) -> None:
    waiting = f"sum(team_age:crm_requests_open:sum{{{q.TEAM}, %s}})"
    board.stat("over_24h", waiting % q.OVER_24H, Look(width=4, height=5, steps=ANY_RED))
    board.stat("over_1h", waiting % q.OVER_1H, Look(width=4, height=5, steps=ANY_ORANGE))
    board.stat("within_1h", q.ratio(f"sum({MET})", f"sum({DUE})"), Look("percentunit", 4, 5, SHARE))
    per_turn = q.ratio(SECONDS, q.summed("team_window:crm_responses:sum"))
    board.stat("per_turn", per_turn, Look("s", 4, 5, WAIT))
    per_customer = q.ratio(SECONDS, q.customers("customers_answered"))
    board.stat("per_customer", per_customer, Look("s", 4, 5, WAIT))
    board.stat("activities", q.summed("team_kind_window:crm_activities:sum"), Look(width=4, height=5))


def _leaderboard() -> list[Column]:
    waiting = q.total("crm_requests_open", "rep", "age", q.TEAM, q.OVER_1H)
    due = q.total("crm_requests_due", "rep", "result", q.TEAM, q.WINDOW, 'level="1h"')
    won, lost = _opportunities("crm_opportunities_won"), _opportunities("crm_opportunities_lost")
    seconds = q.by_rep("crm_response_seconds_sum")
    return [
        Column("waiting_over_1h", q.named(waiting), steps=ANY_ORANGE),
        Column("within_1h", q.named(q.ratio(q.by_rep("crm_requests_due", q.WITHIN_1H), due)), "percentunit", SHARE),
        Column("per_turn", q.named(q.ratio(seconds, q.by_rep("crm_responses"))), "s", WAIT),
        Column("per_customer", q.named(q.ratio(seconds, q.by_rep("crm_customers_answered"))), "s", WAIT),
        Column("activities", q.named(q.total("crm_activities", "rep", "kind", q.TEAM, q.WINDOW))),
        Column("recontactable", q.named(q.by_rep("crm_recontactable_customers"))),
        Column("won", q.named(won)),
        Column("win_closed", q.named(q.ratio(won, f"({won} + {lost})")), "percentunit"),
        Column("win_created", q.named(_created_won()), "percentunit"),
        Column("won_amount", q.named(_opportunities("crm_won_amount"))),
    ]


def _opportunities(metric: str) -> str:
    return q.by_rep(metric, window=q.OPPORTUNITY_WINDOW)


def _created_won() -> str:
    return q.ratio(_opportunities("crm_opportunities_created_won"), _opportunities("crm_opportunities_created"))


def _over_time(board: Board) -> None:
    board.ages("open_by_age", Look(width=12), f"sum by (age) (team_age:crm_requests_open:sum{{{q.TEAM}, %s}})")
    share = q.ratio(f"sum by (team) ({MET})", f"sum by (team) ({DUE})")
    board.lines("within_1h_by_team", Look("percentunit", 12, top=1), Query(share, "{{team}}"))


def _activities(board: Board) -> None:
    by_kind = f"sum by (kind) (team_kind_window:crm_activities:sum{{{q.TEAM}, {q.WINDOW}}})"
    board.lines("activities_by_kind", Look(width=12, stacked=True), Query(by_kind, "{{kind}}"))
    recontactable = f"topk({FEW}, {q.named(q.by_rep('crm_recontactable_customers'))})"
    board.bars("recontactable", Look(width=12), Query(f"sort_desc({recontactable})", "{{rep_name}}"))
