"""Distinct customers per rep, team and company as sums over days.

A customer counts on the *last* local day on which it qualified. A window that reaches to the present then holds every
customer at most once, and windows are plain sums over days and source partitions.
"""

from typing import Literal

from mypy_extensions import mypyc_attr

from processors.core.desks import Desk, Desks
from processors.core.directory import Directory
from schemas.views import Partial

Measure = Literal["customers_answered", "recontactable_customers"]


@mypyc_attr(acyclic=True)
class Days:
    """The days on which one customer qualified with one rep, counted, and the last of them."""

    __slots__ = ("count", "earlier", "last")

    def __init__(self, day: int) -> None:
        self.last = day
        self.count = 1
        """Of the last day."""
        self.earlier: dict[int, int] | None = None
        """Earlier day to count: most customers have none with a rep."""

    def add(self, day: int) -> None:
        """The customer qualified once more."""
        if day == self.last:
            self.count += 1
            return
        if self.earlier is None:
            self.earlier = {}
        if day > self.last:
            self.earlier[self.last] = self.count
            self.last, self.count = day, 1
        else:
            self.earlier[day] = self.earlier.get(day, 0) + 1

    def remove(self, day: int) -> None:
        """It did so once less; with a `count` of 0 afterwards it never did."""
        earlier = self.earlier or {}
        if day == self.last:
            self.count -= 1
            if not self.count and earlier:
                self.last = max(earlier)
                self.count = earlier.pop(self.last)
        elif earlier[day] > 1:
            earlier[day] -= 1
        else:
            del earlier[day]


class Distinct:
    """Posts one distinct measure for one partition's customers."""

    def __init__(self, measure: Measure, desks: Desks, directory: Directory) -> None:
        self._answered = measure == "customers_answered"
        self._desks = desks
        self._directory = directory

    def post(self, by_rep: dict[str, Days], rep_id: str, day: int, sign: int) -> None:
        """One qualifying fact more (+1) or less (-1) of a customer with a rep on a day; `by_rep` is the customer's."""
        known = by_rep.get(rep_id)
        if known is None:
            self._move(by_rep, rep_id, None, day)
            by_rep[rep_id] = Days(day)
            return
        old = known.last
        if sign > 0:
            known.add(day)
        else:
            known.remove(day)
        if not known.count:
            self._move(by_rep, rep_id, old, None)
            del by_rep[rep_id]
        elif known.last != old:
            self._move(by_rep, rep_id, old, known.last)

    def _move(self, by_rep: dict[str, Days], rep_id: str, old: int | None, new: int | None) -> None:
        """The customer's last day with the rep moves; so may the last days with the team and the company."""
        if not by_rep or (len(by_rep) == 1 and rep_id in by_rep):
            self._shift(self._desks.rep(rep_id), old, new)
            self._shift(self._desks.team(self._directory.team(rep_id)), old, new)
            self._shift(self._desks.company(), old, new)
            return
        others = {rep: days.last for rep, days in by_rep.items() if rep != rep_id}
        team = self._directory.team(rep_id)
        mates = [last for rep, last in others.items() if self._directory.team(rep) == team]
        self._shift(self._desks.rep(rep_id), old, new)
        self._shift(self._desks.team(team), _newest(mates, old), _newest(mates, new))
        everyone = list(others.values())
        self._shift(self._desks.company(), _newest(everyone, old), _newest(everyone, new))

    def _shift(self, desk: Desk, old: int | None, new: int | None) -> None:
        if old == new:
            return
        if old is not None:
            self._count(desk.partial(old), -1)
        if new is not None:
            self._count(desk.partial(new), 1)

    def _count(self, partial: Partial, by: int) -> None:
        if self._answered:
            partial.customers_answered += by
        else:
            partial.recontactable_customers += by


def _newest(days: list[int], day: int | None) -> int | None:
    return max(days, default=day) if day is None else max([*days, day])
