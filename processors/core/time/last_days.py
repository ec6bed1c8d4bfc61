"""On which local day a customer counts whom reps in several zones met (S11, S19).

A window of a team is the union of its reps' own windows, each of which ends on that rep's today. The customer is in it
for as long as the last day of any zone is. Nearly always one zone's day stays in every window at least as long as those
of all the others: there the customer counts. Where no zone's does, because their offsets are about a day apart or
swap with the seasons, the customer counts on a day of *these zones together*. They are written as
`Pacific/Chatham,Pacific/Pago_Pago:1`: the last day in Pago Pago is one before that in Chatham. Their today is the
earliest of both, counted from there.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from processors.core.time.windows import WINDOWS
from processors.core.time.zones import zone_days

LastDay = tuple[str, int]
"""Zones and a day (days since 1970-01-01) by their clocks. A single zone is written as its name."""

_LENGTHS: Final = tuple(length for length in WINDOWS.values() if length is not None)
_FAR_APART: Final = 2
"""Days. At no instant do the dates of two zones differ by more: the earlier day is in no window for longer."""


def last_day(days: Mapping[str, int]) -> LastDay:
    """Where a customer counts whose last day by the clocks of each zone is given; there is at least one."""
    if len(days) == 1:
        return next(iter(days.items()))
    lasting: list[LastDay] = []
    for candidate in sorted(days.items(), key=lambda item: (-item[1], item[0])):
        if not any(_outlasts(*other, *candidate) for other in lasting):
            lasting = [other for other in lasting if not _outlasts(*candidate, *other)]
            lasting.append(candidate)
    return lasting[0] if len(lasting) == 1 else _together(lasting)


def today_in(zones: str, at_us: int) -> int:
    """The day at an instant (microseconds since 1970) by the clocks of zones. Raises UnknownZone, ValueError."""
    return min(zone_days(zone).day(at_us) + behind for zone, behind in members(zones))


@lru_cache(maxsize=4096)
def members(zones: str) -> tuple[tuple[str, int], ...]:
    """Each zone, and by how many days its last day is behind that of the zones together; raises ValueError."""
    parts = (part.partition(":") for part in zones.split(","))
    return tuple((zone, int(behind or 0)) for zone, _, behind in parts)


def _together(lasting: list[LastDay]) -> LastDay:
    latest = max(day for _, day in lasting)
    names = (f"{zone}:{latest - day}" if day < latest else zone for zone, day in sorted(lasting))
    return ",".join(names), latest


@lru_cache(maxsize=16384)
def _outlasts(zone: str, day: int, other: str, other_day: int) -> bool:
    """Whether a day of a zone is in each window for at least as long as a day of another zone."""
    if abs(day - other_day) >= _FAR_APART:
        return day > other_day
    mine, theirs = zone_days(zone), zone_days(other)
    return all(mine.begin(day + length)[0] >= theirs.begin(other_day + length)[1] for length in _LENGTHS)
