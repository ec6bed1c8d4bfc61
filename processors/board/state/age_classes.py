"""Levels by name, and the age classes that they make: how long a customer has waited, in their terms."""

from collections.abc import Sequence
from itertools import pairwise

from schemas.policy import Level, Policy
from schemas.views import OpenRequest

NEVER_US = 2**63
"""Later than any instant."""


class Ages:
    """The levels of a policy in all its versions, from the shortest to the longest."""

    def __init__(self, policy: Policy) -> None:
        levels = [*policy.levels, *(level for version in policy.versions for level in version.levels)]
        self.levels = tuple(dict.fromkeys(level.name for level in levels))
        """Level names as the policy orders them."""
        self._by_length = _by_length(levels)
        self.classes = _classes(self._by_length)
        """Names of the age classes: `lt1h`, `1h_24h`, `gt24h` with levels `1h` and `24h`."""

    def place(self, request: OpenRequest, now_us: int) -> int:
        """Which of `classes` a waiting request is in: the longest level whose due instant has passed decides."""
        for place in range(len(self._by_length), 0, -1):
            due_us = request.due_us.get(self._by_length[place - 1])
            if due_us is not None and due_us < now_us:
                return place
        return 0

    def next_us(self, request: OpenRequest, now_us: int) -> int:
        """The next instant at which a level is due; NEVER_US after the last one."""
        return min((due_us for due_us in request.due_us.values() if due_us >= now_us), default=NEVER_US)

    def passed(self, request: OpenRequest, now_us: int) -> list[str]:
        """The levels whose due instant has passed; at the instant itself an answer is still in time (S09)."""
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
