"""Columns of the leaderboards: values, ranks and, for shares, the ranks that chance alone could explain."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

import msgspec

from processors.core.reports.comparison import Comparison, Share, compare, share
from processors.core.reports.measures import ratio
from processors.core.time.instants import SECOND_US
from schemas.views import Partial

LAST = 2**31
"""Sorts after every rank: for reps without one."""


class LeaderboardCell(msgspec.Struct):
    """A rep's value in one column."""

    value: float | None
    share: Share | None = None
    rank: int | None = None
    """1 is the best; equal values have equal ranks; None without a value."""
    best: int | None = None
    worst: int | None = None
    """For shares: from `best` to `worst` are the ranks that the 95 % intervals leave open."""
    comparison: Comparison | None = None
    """For shares: the rep compared with the rest of the team."""


class LeaderboardRow(msgspec.Struct):
    """A rep with a cell for each column."""

    rep_id: str
    name: str
    team: str
    cells: list[LeaderboardCell]


class LeaderboardColumn(msgspec.Struct, frozen=True):
    """A number to rank by."""

    key: str
    """The translation key of its header."""
    kind: str
    """Number format: `count`, `span` (seconds), `share` or `amount`."""
    value: Callable[[Partial], Share | float | None]
    lowest_first: bool = False
    is_by_customer: bool = False
    """Whether it counts distinct customers, which cannot be summed or subtracted."""


def columns(level: str | None) -> list[LeaderboardColumn]:
    """All columns; `level` is the one for the share of timely responses."""
    timely = [LeaderboardColumn("within", "share", lambda part: _timely(part, level or ""))] if level else []
    return [
        LeaderboardColumn("response_per_customer", "span", _per_customer, lowest_first=True, is_by_customer=True),
        *timely,
        LeaderboardColumn("responses", "count", lambda part: part.responses),
        LeaderboardColumn("activities", "count", lambda part: sum(part.activities.values())),
        LeaderboardColumn("recontactable", "count", lambda part: part.recontactable_customers, is_by_customer=True),
        LeaderboardColumn(
            "win_rate_created", "share", lambda part: share(part.created_won, part.opportunities_created)
        ),
        LeaderboardColumn("win_rate_closed", "share", lambda part: share(part.won, part.won + part.lost)),
        LeaderboardColumn("cycle_won", "span", _cycle, lowest_first=True),
        LeaderboardColumn("won_amount", "amount", lambda part: part.won_cents / 100),
    ]


def cell(column: LeaderboardColumn, part: Partial) -> LeaderboardCell:
    """A rep's value, without a rank yet."""
    value = column.value(part)
    return LeaderboardCell(value.ratio, value) if isinstance(value, Share) else LeaderboardCell(value)


def compare_with_team(column: LeaderboardColumn, one: LeaderboardCell, team: Partial) -> Comparison | None:
    """Compare a rep's share with that of the rest of the team; None if the column is not a share."""
    whole = column.value(team)
    if one.share is None or not isinstance(whole, Share):
        return None
    return compare(one.share, share(whole.part - one.share.part, whole.whole - one.share.whole))


def rank(cells: Sequence[LeaderboardCell], *, lowest_first: bool) -> None:
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
