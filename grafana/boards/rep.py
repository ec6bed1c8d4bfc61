"""Rep: one rep's customers, answers and opportunities, beside the rest of the team."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import promql as q
from grafana.kit import Board
from grafana.panels import ANY_ORANGE, ANY_RED, SHARE, WAIT, Column, Look, Query
from grafana.words import Words

WEEK = 'window="7d"'


def build(words: Words) -> Dashboard:
    """The board in one language."""
    board = Board("rep", words, ("team", "rep", "window_30d", "opportunity_window"))
    _answer(board)
    board.row("responses")
    _responses(board)
    board.row("opportunities")
    _opportunities(board)
    board.row("over_time")
    _over_time(board)
    return board.build()


def own(metric: str, *matchers: str) -> str:
    """The chosen rep's number in the chosen window."""
    return q.each(metric, "rep", q.REP, q.WINDOW, *matchers)


def own_opportunities(metric: str, *matchers: str) -> str:
    """The same of opportunities."""
    return q.each(metric, "rep", q.REP, q.OPPORTUNITY_WINDOW, *matchers)


def _answer(board: Board) -> None:
    waiting = q.total("crm_requests_open", "", "rep, age", q.REP, "%s")
    board.stat("over_24h", waiting % q.OVER_24H, Look(width=3, height=5, steps=ANY_RED))
    board.stat("over_1h", waiting % q.OVER_1H, Look(width=3, height=5, steps=ANY_ORANGE))
    start = q.each("crm_request_oldest_open_timestamp_seconds", "rep", q.REP)
    board.stat("longest_wait", f"time() - ({start} > 0)", Look("s", 4, 5, WAIT))
    due = q.total("crm_requests_due", "rep", "result", q.REP, q.WINDOW, 'level="1h"')
    board.stat("within_1h", q.ratio(own("crm_requests_due", q.WITHIN_1H), due), Look("percentunit", 3, 5, SHARE))
    seconds = own("crm_response_seconds_sum")
    board.stat("per_turn", q.ratio(seconds, own("crm_responses")), Look("s", 4, 5, WAIT))
    board.stat("per_customer", q.ratio(seconds, own("crm_customers_answered")), Look("s", 4, 5, WAIT))
    board.stat("activities", q.total("crm_activities", "", "rep, kind", q.REP, q.WINDOW), Look(width=3, height=5))


def _responses(board: Board) -> None:
    buckets = q.total("crm_response_seconds_bucket", "le", "rep", q.REP, WEEK)
    board.heat("heatmap", Look("s", 12, 9), Query(buckets, "{{le}}"))
    # The teams' buckets are recorded: adding up those of a thousand reps for every instant of a line takes seconds.
    others = f"sum by (le) (team_le:crm_response_seconds_bucket:sum{{{q.TEAM}}}) - {buckets}"
    board.lines(
        "quantiles",
        Look("s", 12, 9, WAIT),
        Query(f"histogram_quantile(0.5, {buckets})", "@p50_rep"),
        Query(f"histogram_quantile(0.9, {buckets})", "@p90_rep"),
        Query(f"histogram_quantile(0.5, {others})", "@p50_others"),
        Query(f"histogram_quantile(0.9, {others})", "@p90_others"),
    )


def _opportunities(board: Board) -> None:
    by = "pipeline, stage"
    mine = [q.total(f"crm_stage_{what}", by, "rep", q.REP, q.OPPORTUNITY_WINDOW) for what in ("entered", "advanced")]
    # The teams' numbers are recorded: the others' are those without the rep's own.
    record = "team_pipeline_stage_window:crm_stage_%s:sum"
    teams = [f"sum by ({by}) ({record % what}{{{q.TEAM}, {q.OPPORTUNITY_WINDOW}}})" for what in ("entered", "advanced")]
    theirs = [f"({team} - {own})" for team, own in zip(teams, mine, strict=True)]
    share, others = q.ratio(mine[1], mine[0]), q.ratio(theirs[1], theirs[0])
    columns = [
        Column("reached", mine[0]),
        Column("advanced", mine[1]),
        Column("conversion_rep", share, "percentunit"),
        Column("conversion_others", others, "percentunit"),
        Column("difference", f"({share}) - ({others})", "percentunit", ((-1, "red"), (0, "green"))),
        Column("reached_others", theirs[0]),
    ]
    board.table("funnel", Look(width=17, height=9), ("pipeline", "stage"), columns)
    open_now = f"sort_desc({q.total('crm_opportunities_open', 'stage', 'rep', q.REP)} > 0)"
    board.bars("open_opportunities", Look(width=7, height=9), Query(open_now, "{{stage}}"))


def _over_time(board: Board) -> None:
    board.ages("open_by_age", Look(), q.total("crm_requests_open", "age", "rep", q.REP, "%s"))
    won, lost = own_opportunities("crm_opportunities_won"), own_opportunities("crm_opportunities_lost")
    created = q.ratio(
        own_opportunities("crm_opportunities_created_won"), own_opportunities("crm_opportunities_created")
    )
    closed = q.ratio(won, f"({won} + {lost})")
    rates = [Query(closed, "@win_rate_closed"), Query(created, "@win_rate_created")]
    board.lines("win_rate", Look("percentunit", top=1), *rates)
    cycles = [
        Query(
            q.ratio(
                own_opportunities("crm_sales_cycle_seconds_sum", which),
                own_opportunities("crm_sales_cycle_seconds_count", which),
            ),
            legend,
        )
        for which, legend in (('outcome="won"', "@won"), ('outcome="lost"', "@lost"))
    ]
    board.lines("cycle", Look("s"), *cycles)
