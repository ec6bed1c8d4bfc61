"""Distinct customers per rep, team and company as sums over days.

A customer counts on the *last* local day on which it qualified. A window that reaches to the present then holds every
customer at most once, and windows are plain sums over days and source partitions. A team's customers are those in the
windows of its reps (S11): with reps in several zones, `last_days` says by whose clock the last day is. Facts only move
those last days; a customer is moved to the new last day by `refold`, once before
numbers are read, however often it qualified meanwhile.
"""

from typing import Literal

from processors.core.folds.scoreboards import Scoreboard, Scoreboards
from processors.core.state.qualified_days import NEVER, QualifiedDays
from processors.core.time.last_days import LastDay, last_day
from schemas.views import Partial, Scope

_DaysByZone = dict[str, int]
"""The last day by the clocks of each zone."""

Measure = Literal["customers_answered", "recontactable_customers"]


class DistinctCustomers:
    """One distinct measure of one partition's customers."""

    def __init__(self, measure: Measure, scoreboards: Scoreboards) -> None:
        self._answered = measure == "customers_answered"
        self._scoreboards = scoreboards
        self._moved: list[dict[str, QualifiedDays]] = []

    def count(self, by_rep: dict[str, QualifiedDays], rep_id: str, day: int, sign: int) -> None:
        """One qualifying fact more (+1) or less (-1) of a customer with a rep on a day; `by_rep` is the customer's."""
        days = by_rep.get(rep_id)
        if days is None:
            days = by_rep[rep_id] = QualifiedDays()
        if sign > 0:
            days.add(day)
        else:
            days.remove(day)
        if not days.moved and days.last != days.posted:
            days.moved = True
            self._moved.append(by_rep)

    def refold(self) -> None:
        """Count every customer where its last days are now."""
        moved, self._moved = self._moved, []
        for by_rep in moved:
            self._settle(by_rep)

    def _settle(self, by_rep: dict[str, QualifiedDays]) -> None:
        """Move a customer to its last days with its reps, their teams and the company."""
        if len(by_rep) == 1:
            self._recount_with_one(*next(iter(by_rep.items())))
        else:
            self._recount_with_several(by_rep)
        for rep_id in [rep_id for rep_id, days in by_rep.items() if not days.count]:
            del by_rep[rep_id]

    def _recount_with_one(self, rep_id: str, days: QualifiedDays) -> None:
        """The usual case: team and company count the customer by the rep's own clock."""
        old, new = days.posted, days.last
        scoreboard = self._scoreboards.rep(rep_id)
        zone = scoreboard.zone.name
        self._shift(scoreboard, old, new)
        self._shift(self._scoreboards.pooled("team", scoreboard.team, zone), old, new)
        self._shift(self._scoreboards.pooled("company", "", zone), old, new)
        days.posted, days.moved = new, False

    def _recount_with_several(self, by_rep: dict[str, QualifiedDays]) -> None:
        before, after = dict[str, _DaysByZone](), dict[str, _DaysByZone]()
        for rep_id, days in by_rep.items():
            posted, last = days.posted, days.last
            scoreboard = self._scoreboards.rep(rep_id)
            self._shift(scoreboard, posted, last)
            _add_last_day(before, scoreboard, posted)
            _add_last_day(after, scoreboard, last)
            days.posted, days.moved = last, False
        for team in before.keys() | after.keys():
            self._move("team", team, before.get(team), after.get(team))
        self._move("company", "", _merged(before), _merged(after))

    def _move(self, scope: Scope, subject: str, before: _DaysByZone | None, after: _DaysByZone | None) -> None:
        """Count a customer of a team, or of the company, on the last day of now instead of that of before."""
        old: LastDay | None = last_day(before) if before else None
        new: LastDay | None = last_day(after) if after else None
        if old == new:
            return
        if old is not None:
            self._count(self._scoreboards.pooled(scope, subject, old[0]).partial(old[1]), -1)
        if new is not None:
            self._count(self._scoreboards.pooled(scope, subject, new[0]).partial(new[1]), 1)

    def _shift(self, scoreboard: Scoreboard, old: int, new: int) -> None:
        if old == new:
            return
        if old != NEVER:
            self._count(scoreboard.partial(old), -1)
        if new != NEVER:
            self._count(scoreboard.partial(new), 1)

    def _count(self, partial: Partial, by: int) -> None:
        if self._answered:
            partial.customers_answered += by
        else:
            partial.recontactable_customers += by


def _add_last_day(teams: dict[str, _DaysByZone], scoreboard: Scoreboard, day: int) -> None:
    """Add a rep's last day with a customer to those of its team."""
    if day == NEVER:
        return
    days = teams.get(scoreboard.team)
    zone = scoreboard.zone.name
    if days is None:
        teams[scoreboard.team] = {zone: day}
    elif day > days.get(zone, NEVER):
        days[zone] = day


def _merged(teams: dict[str, _DaysByZone]) -> _DaysByZone:
    """The last days with any team. They may be those of the only one: to be read only."""
    if len(teams) == 1:
        return next(iter(teams.values()))
    merged: _DaysByZone = {}
    for days in teams.values():
        for zone, day in days.items():
            merged[zone] = max(day, merged.get(zone, NEVER))
    return merged
