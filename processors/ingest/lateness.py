"""Whether workers will take a history: for its sender's clock it may be older than they keep anything."""

from collections.abc import Iterable, Iterator

from config.clock import Clock
from config.settings import Settings
from processors.core.customers import Customer
from processors.core.instants import DAY_US, LONG_AGO_US, SECOND_US, rfc3339
from processors.core.retention import Retention
from schemas.events import Event

Timed = tuple[int, Event]
"""An event with its instant in microseconds since 1970."""


class Lateness:
    """Counts what workers with the same settings would refuse as `too_late`, did they know nothing of it yet."""

    def __init__(self, settings: Settings) -> None:
        kept = settings.retention
        self._retention = Retention((kept.windows_days + kept.slack_days) * DAY_US, kept.roots_days * DAY_US)
        self._now_us = Clock(settings.clock).now_us()
        self._nobody = Customer("")
        self._late = 0
        self._oldest_us = self._now_us
        self._newest_us = LONG_AGO_US

    def watch(self, timed: Iterable[Timed]) -> Iterator[Timed]:
        """The same events; each is looked at as it passes."""
        young_us = self._now_us - self._retention.shortest_us
        for at_us, event in timed:
            self._newest_us = max(self._newest_us, at_us)
            if at_us < young_us and self._retention.too_late(self._nobody, at_us, event, self._now_us):
                self._late += 1
                self._oldest_us = min(self._oldest_us, at_us)
            yield at_us, event

    def warning(self) -> Iterator[str]:
        """One line with the mend, if some of it is too late."""
        if self._late:
            now = rfc3339(self._now_us - self._now_us % SECOND_US)
            days = (self._now_us - self._oldest_us) // DAY_US + 1
            yield (
                f"{self._late:,} events are older than workers keep any by this clock ({now}), who refuse them as "
                f"too_late: set clock.mode = fixed and clock.at = {rfc3339(self._newest_us)} for everything that runs, "
                f"or retention.windows_days and retention.roots_days = {days}"
            )
