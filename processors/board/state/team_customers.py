"""Distinct customers of teams and of the company. Workers count them: counts of reps cannot be added up (S11)."""

from collections.abc import Iterator
from contextlib import suppress

from processors.board.state.rolling_sums import WindowSums
from processors.core.time.last_days import today_in
from processors.core.time.windows import WINDOWS
from processors.core.time.zones import UnknownZone
from schemas.views import Partial, Scope, partial_field, pooled_subject, split_pooled_subject

Subject = tuple[Scope, str]
"""A team, or `("company", "")`."""


class TeamCustomers:
    """Partials of teams and of the company, by the set of zones in whose local days they are counted."""

    def __init__(self) -> None:
        self._sums: dict[Subject, dict[str, WindowSums]] = {}

    def put(self, scope: Scope, subject: str, day: int, partition: int, raw: bytes | None) -> bool:
        """Set a partial; None removes it. Returns whether anything changed.

        Partials without known zones are ignored: older versions wrote none, and a worker's time zone database may be
        newer than ours.
        """
        team, zones = split_pooled_subject(subject)
        if not _are_known(zones):
            return False
        by_zones = self._sums.setdefault((scope, team), {})
        sums = by_zones.setdefault(zones, WindowSums())
        has_changed = sums.put(partition, day, raw)
        if not sums:
            del by_zones[zones]
        if not by_zones:
            del self._sums[scope, team]
        return has_changed

    def fields(self, partition: int) -> Iterator[str]:
        """The fields held of a partition. The caller may remove fields while it iterates."""
        for (scope, team), by_zones in list(self._sums.items()):
            for zones, sums in list(by_zones.items()):
                for day in sums.days(partition):
                    yield partial_field(scope, pooled_subject(team, zones), day)

    def teams(self) -> list[str]:
        """Every team that has a customer."""
        return sorted(subject for scope, subject in self._sums if scope == "team")

    def sums(self, scope: Scope, subject: str, now_us: int) -> list[Partial]:
        """The distinct counts in each of WINDOWS; each window ends today in the zones that count."""
        into = [Partial() for _ in WINDOWS]
        for zones, sums in self._sums.get((scope, subject), {}).items():
            for mine, part in zip(into, sums.ending_on(today_in(zones, now_us)), strict=True):
                mine.customers_answered += part.customers_answered
                mine.recontactable_customers += part.recontactable_customers
        return into


def _are_known(zones: str) -> bool:
    with suppress(UnknownZone, ValueError):
        today_in(zones, 0)
        return True
    return False
