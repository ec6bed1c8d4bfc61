"""Distinct customers per rep, team and company as sums over days.

A customer counts on the *last* local day on which it qualified. A window that reaches to the present then holds every
customer at most once, and windows are plain sums over days and source partitions.
"""

from typing import Literal

import msgspec

from processors.core.desks import Desk, Desks
from processors.core.directory import Directory

Measure = Literal["customers_answered", "recontactable_customers"]


class Days(msgspec.Struct, gc=False):
    """The days on which one customer qualified with one rep, counted, and the last of them."""

    last: int
    counts: dict[int, int]


class Distinct:
    """Posts one distinct measure for one partition's customers."""

    def __init__(self, measure: Measure, desks: Desks, directory: Directory) -> None:
        self._measure = measure
        self._desks = desks
        self._directory = directory

    def post(self, by_rep: dict[str, Days], rep_id: str, day: int, sign: int) -> None:
        """One qualifying fact more (+1) or less (-1) of a customer with a rep on a day; `by_rep` is the customer's."""
        known = by_rep.get(rep_id)
        if known is not None and known.last == day and sign > 0:
            known.counts[day] += 1
            return
        if known is None:
            self._move(by_rep, rep_id, None, day)
            by_rep[rep_id] = Days(day, {day: 1})
            return
        count = known.counts.get(day, 0) + sign
        if count:
            known.counts[day] = count
        else:
            known.counts.pop(day, None)
        last = day if day > known.last else self._last(known, day, count)
        if last != known.last:
            self._replace(by_rep, rep_id, known, last)

    @staticmethod
    def _last(known: Days, day: int, count: int) -> int | None:
        if count or day != known.last:
            return known.last
        return max(known.counts, default=None)

    def _replace(self, by_rep: dict[str, Days], rep_id: str, known: Days, last: int | None) -> None:
        self._move(by_rep, rep_id, known.last, last)
        if last is None:
            del by_rep[rep_id]
        else:
            known.last = last

    def _move(self, by_rep: dict[str, Days], rep_id: str, old: int | None, new: int | None) -> None:
        """The customer's last day with the rep moves; so may the last days with the team and the company."""
        if not by_rep or (len(by_rep) == 1 and rep_id in by_rep):
            for desk in (
                self._desks.rep(rep_id),
                self._desks.team(self._directory.team(rep_id)),
                self._desks.company(),
            ):
                self._shift(desk, old, new)
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
        for day, sign in ((old, -1), (new, 1)):
            if day is not None:
                partial = desk.partial(day)
                setattr(partial, self._measure, getattr(partial, self._measure) + sign)


def _newest(days: list[int], day: int | None) -> int | None:
    return max(days, default=day) if day is None else max([*days, day])
