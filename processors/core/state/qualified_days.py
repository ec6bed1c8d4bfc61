"""The days on which one customer qualified with one rep: it counts on the last of them (S11)."""

from typing import Final

from mypy_extensions import mypyc_attr

from processors.core.time.instants import LONG_AGO_US

NEVER: Final = LONG_AGO_US
"""Before all days."""


@mypyc_attr(acyclic=True)
class QualifiedDays:
    """The days on which one customer qualified with one rep, counted, and the last of them."""

    __slots__ = ("count", "earlier", "last", "moved", "posted")

    def __init__(self) -> None:
        self.last = NEVER
        self.count = 0
        """Of the last day."""
        self.earlier: dict[int, int] | None = None
        """Earlier day to count: most customers have none with a rep."""
        self.posted = NEVER
        """The day on which the scoreboards count the customer with the rep."""
        self.moved = False
        """Whether the next refold has to move the customer."""

    def add(self, day: int) -> None:
        """The customer qualified once more."""
        if day == self.last:
            self.count += 1
        elif not self.count:
            self.last, self.count = day, 1
        else:
            self._add_other(day)

    def _add_other(self, day: int) -> None:
        if self.earlier is None:
            self.earlier = {}
        if day > self.last:
            self.earlier[self.last] = self.count
            self.last, self.count = day, 1
        else:
            self.earlier[day] = self.earlier.get(day, 0) + 1

    def remove(self, day: int) -> None:
        """It did so once less."""
        earlier = self.earlier or {}
        if day != self.last:
            if earlier[day] > 1:
                earlier[day] -= 1
            else:
                del earlier[day]
        elif self.count > 1:
            self.count -= 1
        else:
            self.last = max(earlier, default=NEVER)
            self.count = earlier.pop(self.last, 0)
