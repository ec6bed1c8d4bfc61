"""Age classes of open requests: the policy's levels cut the time that a customer has waited into classes."""

from collections.abc import Sequence
from itertools import pairwise

from schemas.policy import Level, Policy
from schemas.views import OpenRequest

NEVER_US = 2**63
"""Later than any instant."""


class AgeClasses:
    """The levels of all versions of a policy, and the age classes between them."""

    def __init__(self, policy: Policy) -> None:
        levels = [*policy.levels, *(level for version in policy.versions for level in version.levels)]
        self.levels = tuple(dict.fromkeys(level.name for level in levels))
        """Level names in the policy's order."""
        self._by_length = _by_length(levels)
        self.classes = _classes(self._by_length)
        """Names of the age classes, youngest first: `lt1h`, `1h_24h`, `gt24h` for levels `1h` and `24h`."""

    def index_of(self, request: OpenRequest, now_us: int) -> int:
        """The index in `classes` of a request: the longest level whose deadline has passed decides."""
        for index in range(len(self._by_length), 0, -1):
            due_us = request.due_us.get(self._by_length[index - 1])
            if due_us is not None and due_us < now_us:
                return index
        return 0

    def next_due_us(self, request: OpenRequest, now_us: int) -> int:
        """The next deadline of a request, in microseconds since 1970; NEVER_US after the last one."""
        return min((due_us for due_us in request.due_us.values() if due_us >= now_us), default=NEVER_US)

    def passed_levels(self, request: OpenRequest, now_us: int) -> list[str]:
        """The levels whose deadline has passed; a response at the deadline itself is still in time (S09)."""
        return [level for level, due_us in request.due_us.items() if due_us < now_us]


def _by_length(levels: Sequence[Level]) -> tuple[str, ...]:
    seconds: dict[str, int] = {}
    for level in levels:
        seconds[level.name] = min(level.seconds, seconds.get(level.name, level.seconds))
    return tuple(sorted(seconds, key=lambda name: (seconds[name], name)))


def _classes(levels: Sequence[str]) -> tuple[str, ...]:
    if not levels:
        return ("any",)
    return (f"lt{levels[0]}", *(f"{shorter}_{longer}" for shorter, longer in pairwise(levels)), f"gt{levels[-1]}")
