"""Distinct customers of teams and of the company: counts of their own, for those of reps cannot be added up (S11)."""

from collections.abc import Iterator
from contextlib import suppress

from processors.board.tally import Tally
from processors.core.time.last_days import today_in
from processors.core.time.windows import WINDOWS
from processors.core.time.zones import UnknownZone
from schemas.views import Partial, Scope, partial_field, pooled_subject, split_pooled_subject

Pooled = tuple[Scope, str]
"""A team, or `("company", "")`."""


class Customers:
    """Partials of teams and of the company, by the zones whose clocks count their days."""

    def __init__(self) -> None:
        self._tallies: dict[Pooled, dict[str, Tally]] = {}

    def put(self, scope: Scope, subject: str, day: int, partition: int, raw: bytes | None) -> bool:
        """A partial's present value; None: it is gone. True when that is news.

        Days by no known zones are passed over: versions before wrote them by none, and another computer's time zone
        database may be newer.
        """
        team, zones = split_pooled_subject(subject)
        if not _are_known(zones):
            return False
        by_zones = self._tallies.setdefault((scope, team), {})
        tally = by_zones.setdefault(zones, Tally())
        is_news = tally.put(partition, day, raw)
        if not tally:
            del by_zones[zones]
        if not by_zones:
            del self._tallies[scope, team]
        return is_news

    def fields(self, partition: int) -> Iterator[str]:
        """The fields that are held of a partition."""
        for (scope, team), by_zones in list(self._tallies.items()):
            for zones, tally in list(by_zones.items()):
                for day in tally.days(partition):
                    yield partial_field(scope, pooled_subject(team, zones), day)

    def teams(self) -> list[str]:
        """The teams that ever had a customer."""
        return sorted(subject for scope, subject in self._tallies if scope == "team")

    def sums(self, scope: Scope, subject: str, now_us: int) -> list[Partial]:
        """The distinct counts in each of WINDOWS, which end on the present day of the zones that count."""
        into = [Partial() for _ in WINDOWS]
        for zones, tally in self._tallies.get((scope, subject), {}).items():
            for mine, part in zip(into, tally.sums(today_in(zones, now_us)), strict=True):
                mine.customers_answered += part.customers_answered
                mine.recontactable_customers += part.recontactable_customers
        return into


def _are_known(zones: str) -> bool:
    with suppress(UnknownZone, ValueError):
        today_in(zones, 0)
        return True
    return False
