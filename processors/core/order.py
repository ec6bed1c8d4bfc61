"""The order of facts inside a root (S27): by instant, then by the kind's rank, then by event_id.

An entry is a fact behind its place in that order. Ids differ, so that entries compare without ever looking at the fact.
"""

from bisect import bisect_left
from typing import Any, TypeVar

E = TypeVar("E", bound=tuple[int, int, str, Any])


def is_after(entry: E, other: E) -> bool:
    """Whether an entry's place is behind that of another; nearly always, the instants alone tell."""
    return entry[0] > other[0] or (entry[0] == other[0] and entry > other)


def discard(entries: list[E], entry: E) -> None:
    """Take an entry out of ordered ones, if it is among them."""
    index = bisect_left(entries, entry)
    if index < len(entries) and entries[index] == entry:
        del entries[index]
