"""Customers: what they are worth by segment, and what they cost."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import promql as q
from grafana.kit import Board
from grafana.panels import Column, Look, Query
from grafana.words import Words

CUSTOMERS = q.each("crm_customers", "segment")
REVENUE = q.each("crm_customer_revenue_amount", "segment")
COST = q.each("crm_customer_cost_amount", "segment")
WORTH = q.ratio(f"({REVENUE} - {COST})", CUSTOMERS)


def build(words: Words) -> Dashboard:
    """The board in one language."""
    board = Board("customers", words, ())
    _answer(board)
    board.row("by_segment")
    board.bars("lifetime_value", Look(width=10, height=9, signed=True), Query(f"sort_desc({WORTH})", "{{segment}}"))
    board.table("segments", Look(width=14, height=9), ("segment",), _columns())
    board.row("over_time")
    board.lines("lifetime_value_over_time", Look(width=12, height=9, signed=True), Query(WORTH, "{{segment}}"))
    board.lines(
        "revenue_and_cost",
        Look(width=12, height=9),
        Query(f"sum({REVENUE})", "@revenue"),
        Query(f"sum({COST})", "@cost"),
    )
    return board.build()


def _answer(board: Board) -> None:
    look = Look(width=5, height=5)
    mean = q.ratio(f"(sum({REVENUE}) - sum({COST}))", f"sum({CUSTOMERS})")
    board.stat("mean_lifetime_value", mean, look)
    board.stat("customers", f"sum({CUSTOMERS})", look)
    board.stat("revenue", f"sum({REVENUE})", look)
    board.stat("cost", f"sum({COST})", look)
    board.stat("cost_share", q.ratio(f"sum({COST})", f"sum({REVENUE})"), Look("percentunit", 4, 5))


def _columns() -> list[Column]:
    return [
        Column("lifetime_value", WORTH),
        Column("customers", CUSTOMERS),
        Column("revenue", REVENUE),
        Column("cost", COST),
        Column("cost_share", q.ratio(COST, REVENUE), "percentunit"),
    ]
