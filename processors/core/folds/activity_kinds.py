"""Activities counted by kind: those that the policy lists, the first few others, and `_other` for the rest."""

from collections.abc import Collection, Mapping
from typing import Final

from mypy_extensions import mypyc_attr

from processors.core.folds.scoreboards import bump
from processors.core.state.first_names import MAX_FREE_KINDS, OTHER, FirstNames, without_room

Day = tuple[str, int]
"""rep_id and local day."""


@mypyc_attr(acyclic=True)
class _Overflow:
    """The kinds of one rep and day that have no count of their own."""

    __slots__ = ("counts", "names")

    def __init__(self, free: list[str]) -> None:
        """`free`: the kinds that have one, those that the policy lists aside."""
        self.names = FirstNames(MAX_FREE_KINDS)
        for kind in free:
            self.names.add(kind)
        self.counts: dict[str, int] = {}

    def add(self, counts: dict[str, int], kind: str) -> None:
        """Count an activity of a kind that is not in `counts`."""
        known = self.counts.get(kind)
        if known is not None:
            self.counts[kind] = known + 1
            bump(counts, OTHER, 1)
            return
        last = self.names.add(kind)
        if last is None or last == kind:
            self.counts[kind] = 1
            bump(counts, OTHER, 1)
            return
        counts[kind] = 1
        self.counts[last] = counts.pop(last)
        bump(counts, OTHER, self.counts[last])

    def remove(self, counts: dict[str, int], kind: str) -> None:
        """Count an activity of a kind that is not in `counts` no longer."""
        bump(self.counts, kind, -1)
        bump(counts, OTHER, -1)
        if kind not in self.counts:
            self.names.remove(kind)

    def left(self, counts: dict[str, int], kind: str) -> None:
        """A kind has left `counts`: the next one has room."""
        first = self.names.remove(kind)
        if first is not None:
            counts[first] = self.counts.pop(first)
            bump(counts, OTHER, -counts[first])


class KindCounts:
    """Keeps `Partial.activities` of all reps and days within bounds."""

    def __init__(self, listed: Collection[str]) -> None:
        """`listed`: kinds that always have a count of their own."""
        self._always: Final = frozenset([*listed, OTHER])
        self._overflows: dict[Day, _Overflow] = {}
        """Of those days alone that have one."""

    def add(self, day: Day, counts: dict[str, int], kind: str) -> None:
        """Count an activity; `counts` are the day's."""
        count = counts.get(kind, 0)
        if count or len(counts) < MAX_FREE_KINDS or kind in self._always:
            counts[kind] = count + 1
            return
        overflow = self._overflows.get(day)
        if overflow is None:
            free = [one for one in counts if one not in self._always]
            if len(free) < MAX_FREE_KINDS:
                counts[kind] = 1
                return
            overflow = self._overflows[day] = _Overflow(free)
        overflow.add(counts, kind)

    def remove(self, day: Day, counts: dict[str, int], kind: str) -> None:
        """Count an activity no longer that was counted."""
        overflow = self._overflows.get(day)
        if overflow is None or kind in self._always:
            bump(counts, kind, -1)
            return
        if kind in counts:
            bump(counts, kind, -1)
            if kind not in counts:
                overflow.left(counts, kind)
        else:
            overflow.remove(counts, kind)
        if not overflow.counts:
            del self._overflows[day]


def within_bounds(counts: Mapping[str, int], listed: Collection[str]) -> dict[str, int]:
    """The sum of some days' counts by kind, bounded as each of them is."""
    free = [kind for kind, count in counts.items() if count and kind not in listed and kind != OTHER]
    folded = without_room(free, MAX_FREE_KINDS)
    kept = {kind: count for kind, count in counts.items() if kind not in set(folded)} if folded else dict(counts)
    for kind in folded:
        bump(kept, OTHER, counts[kind])
    return kept
