"""Funnel: how far opportunities come, rep beside team, and where they are lost."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import promql as q
from grafana.kit import Board
from grafana.panels import Look, Query
from grafana.words import Words

STAGES = f'{q.TEAM}, {q.OPPORTUNITY_WINDOW}, pipeline="$pipeline"'
REACHED = f"sum by (stage) (team_pipeline_stage_window:crm_stage_entered:sum{{{STAGES}}})"
ADVANCED = f"sum by (stage) (team_pipeline_stage_window:crm_stage_advanced:sum{{{STAGES}}})"
PIPELINE = 'pipeline="$pipeline"'


def build(words: Words) -> Dashboard:
    """The board in one language."""
    board = Board("funnel", words, ("team", "pipeline", "opportunity_window"))
    _stages(board)
    board.row("rep_beside_team")
    _reps(board)
    board.row("cohorts")
    _cohorts(board)
    return board.build()


def _stages(board: Board) -> None:
    board.bars("reached", Look(width=8, height=9), Query(f"sort_desc({REACHED})", "{{stage}}"))
    share = q.ratio(ADVANCED, REACHED)
    board.bars("conversion", Look("percentunit", 8, 9, top=1), Query(f"sort_desc({share})", "{{stage}}"))
    staying = f"sort_desc({REACHED} - {ADVANCED})"
    board.bars("not_advanced", Look(width=8, height=9), Query(staying, "{{stage}}"))


def _reps(board: Board) -> None:
    matchers = (q.TEAM, q.OPPORTUNITY_WINDOW, PIPELINE)
    advanced = q.each("crm_stage_advanced", "rep, stage", *matchers)
    reached = q.each("crm_stage_entered", "rep, stage", *matchers)
    names = f"max by (rep, rep_name) (crm_rep_info{{{q.TEAM}}})"
    by_rep = f"({q.ratio(advanced, reached)}) * on (rep) group_left (rep_name) {names}"
    board.matrix("conversion_by_rep", Look("percentunit", 13, 12), by_rep, ("rep_name", "stage"))
    by_team = q.ratio(
        f"sum by (team, stage) (team_pipeline_stage_window:crm_stage_advanced:sum{{{STAGES}}})",
        f"sum by (team, stage) (team_pipeline_stage_window:crm_stage_entered:sum{{{STAGES}}})",
    )
    board.matrix("conversion_by_team", Look("percentunit", 11, 12), by_team, ("team", "stage"))


def _cohorts(board: Board) -> None:
    won = f"sum by (window) (team_window:crm_opportunities_created_won:sum{{{q.TEAM}}})"
    created = f"sum by (window) (team_window:crm_opportunities_created:sum{{{q.TEAM}}})"
    board.lines("cohort_curves", Look("percentunit", 12, 9), Query(q.ratio(won, created), "{{window}}"))
    over_time = f"sum by (stage) ({q.ratio(ADVANCED, REACHED)})"
    board.lines("conversion_over_time", Look("percentunit", 12, 9, top=1), Query(over_time, "{{stage}}"))
    open_now = q.total("crm_opportunities_open", "stage", "team, rep", q.TEAM)
    board.bars("open_opportunities", Look(width=24), Query(f"sort_desc({open_now} > 0)", "{{stage}}"))
