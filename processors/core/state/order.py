"""The order of facts inside a root (S27): by instant, then by the rank of the kind, then by event_id."""

from bisect import bisect_left
from typing import Any, Final

from mypy_extensions import mypyc_attr

from schemas.events import (
    Fact,
    OpportunityAssigned,
    OpportunityCreated,
    OpportunityLost,
    OpportunityReopened,
    OpportunityStageEntered,
    OpportunityWon,
    RequestAnswered,
    RequestAssigned,
    RequestClosed,
    RequestOpened,
)

RANKS: Final[dict[type[Fact], int]] = {
    RequestOpened: 0,
    RequestAssigned: 1,
    RequestAnswered: 2,
    RequestClosed: 3,
    OpportunityCreated: 0,
    OpportunityAssigned: 1,
    OpportunityStageEntered: 2,
    OpportunityReopened: 3,
    OpportunityWon: 4,
    OpportunityLost: 4,
}


@mypyc_attr(acyclic=True)
class Entry:
    """A fact with what it is ordered by."""

    __slots__ = ("at_us", "fact", "rank")

    def __init__(self, at_us: int, fact: Fact) -> None:
        self.at_us = at_us
        self.rank = RANKS[type(fact)]
        self.fact: Any = fact
        """Of a request or of an opportunity, whose entries are kept apart."""

    def is_after(self, other: "Entry") -> bool:
        """Whether it comes after another one. Nearly always the instants differ, and decide."""
        if self.at_us != other.at_us:
            return self.at_us > other.at_us
        if self.rank != other.rank:
            return self.rank > other.rank
        mine: str = self.fact.event_id
        others: str = other.fact.event_id
        return mine > others

    def __lt__(self, other: "Entry") -> bool:
        return other.is_after(self)


def discard(entries: list[Entry], entry: Entry) -> None:
    """Remove the entry equal to this one from ordered ones, if it is among them."""
    index = bisect_left(entries, entry)
    if index < len(entries) and not entries[index].is_after(entry):
        del entries[index]
