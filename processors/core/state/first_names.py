"""Names that producers write freely, bounded: the first few have a count of their own, all others share `_other`.

First is who comes first in the alphabet, and nothing else: neither how often a name is used nor when it came. So the
choice follows from the set of facts (S27), and it survives adding up: whatever is among the first names of a whole is
among the first names of each of its parts, so that its counts there add up to its count in the whole.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from mypy_extensions import mypyc_attr

OTHER: Final = "_other"
"""Stands for all names that have no room."""
MAX_FREE_KINDS: Final = 20
"""Kinds of activity of a rep and day, and of any sum of them, beside those that the policy lists."""
MAX_SEGMENTS: Final = 200
MAX_STALE_ENTRIES: Final = 64
"""So many outdated entries may lie in a heap before it is made anew."""


@mypyc_attr(acyclic=True)
class FirstNames:
    """The first names of a set that grows and shrinks."""

    __slots__ = ("_kept", "_limit", "_queue", "_rest")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: set[str] = set()
        self._rest: set[str] = set()
        self._queue: list[str] = []
        """A heap of `_rest`, and of names that have left it."""

    def add(self, name: str) -> str | None:
        """A new name; returns the one that has no room now, which may be the new one."""
        if len(self._kept) < self._limit:
            self._kept.add(name)
            return None
        last = max(self._kept)
        if name < last:
            self._kept.remove(last)
            self._kept.add(name)
        else:
            last = name
        self._rest.add(last)
        heappush(self._queue, last)
        return last

    def remove(self, name: str) -> str | None:
        """A name that is there no longer; returns the one that has room in its stead."""
        if name in self._rest:
            self._rest.remove(name)
            if len(self._queue) > 2 * len(self._rest) + MAX_STALE_ENTRIES:
                self._queue = list(self._rest)
                heapify(self._queue)
            return None
        self._kept.remove(name)
        while self._queue:
            first = heappop(self._queue)
            if first in self._rest:
                self._rest.remove(first)
                self._kept.add(first)
                return first
        return None


def without_room(names: list[str], limit: int) -> list[str]:
    """Those of some names that are not among the first."""
    return sorted(names)[limit:] if len(names) > limit else []
