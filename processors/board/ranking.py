"""Leaderboards: several numbers of every rep, each with its rank and, for shares, the ranks that chance leaves open."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import msgspec

from processors.core.reports.comparison import Comparison, Share, compare, share
from processors.core.reports.measures import ratio
from processors.core.time.instants import SECOND_US
from schemas.views import Partial

LAST = 2**31
"""After every rank: for those who have none."""


class Cell(msgspec.Struct):
    """A rep's value in one column."""

    value: float | None
    share: Share | None = None
    rank: int | None = None
    """1 is the best; equal values have equal ranks; None without a value."""
    best: int | None = None
    worst: int | None = None
    """For shares: the ranks that the 95 % intervals leave open."""
    beside: Comparison | None = None
    """For shares: the rep beside the others of the team."""


class Row(msgspec.Struct):
    """A rep with a cell for each column."""

    rep_id: str
    name: str
    team: str
    cells: list[Cell]


class Column(msgspec.Struct, frozen=True):
    """A number to rank by."""

    key: str
    """Its word."""
    kind: str
    """How it is written: `count`, `span` (seconds), `share` or `amount`."""
    value: Callable[[Partial], Share | float | None]
    lowest_first: bool = False
    is_by_customer: bool = False
    """Whether it is by distinct customers, which cannot be added up or taken off."""


def columns(level: str | None) -> list[Column]:
    """All columns; `level` is the one whose answers in time are shared out."""
    timely = [Column("within", "share", lambda part: _timely(part, level or ""))] if level else []
    return [
        Column("response_per_customer", "span", _per_customer, lowest_first=True, is_by_customer=True),
        *timely,
        Column("responses", "count", lambda part: part.responses),
        Column("activities", "count", lambda part: sum(part.activities.values())),
        Column("recontactable", "count", lambda part: part.recontactable_customers, is_by_customer=True),
        Column("win_rate_created", "share", lambda part: share(part.created_won, part.opportunities_created)),
        Column("win_rate_closed", "share", lambda part: share(part.won, part.won + part.lost)),
        Column("cycle_won", "span", _cycle, lowest_first=True),
        Column("won_amount", "amount", lambda part: part.won_cents / 100),
    ]


def cell(column: Column, part: Partial) -> Cell:
    """A rep's value, not ranked yet."""
    value = column.value(part)
    return Cell(value.ratio, value) if isinstance(value, Share) else Cell(value)


def beside(column: Column, one: Cell, team: Partial) -> Comparison | None:
    """A rep's share beside that of the team without the rep; None for what is no share."""
    whole = column.value(team)
    if one.share is None or not isinstance(whole, Share):
        return None
    return compare(one.share, share(whole.part - one.share.part, whole.whole - one.share.whole))


def rank(cells: Sequence[Cell], *, lowest_first: bool) -> None:
    """Fill in the ranks of one column."""
    sign = 1 if lowest_first else -1
    ordered = sorted(sign * one.value for one in cells if one.value is not None)
    lows = sorted(one.share.low for one in cells if one.share is not None and one.share.low is not None)
    highs = sorted(one.share.high for one in cells if one.share is not None and one.share.high is not None)
    for one in cells:
        if one.value is not None:
            one.rank = bisect_left(ordered, sign * one.value) + 1
        if one.share is not None and one.share.low is not None and one.share.high is not None:
            one.best = len(lows) - bisect_right(lows, one.share.high) + 1
            one.worst = len(highs) - bisect_left(highs, one.share.low)


def _timely(part: Partial, level: str) -> Share:
    met = part.answered_within.get(level, 0)
    return share(met, met + part.breaches.get(level, 0))


def _per_customer(part: Partial) -> float | None:
    return ratio(part.response_us / SECOND_US, part.customers_answered)


def _cycle(part: Partial) -> float | None:
    return ratio(part.cycle_won_us / SECOND_US, part.cycle_won)
