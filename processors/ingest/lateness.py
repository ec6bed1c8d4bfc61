"""Will workers accept these events? By the sender's clock they may be too old to be kept, or in the future."""

from collections.abc import Iterable, Iterator

from config.clock import Clock
from config.settings import Settings
from config.values import MAX_DAYS
from processors.core.ledger.ledger import MAX_CLOCK_SKEW_US
from processors.core.ledger.retention import Retention
from processors.core.state.customers import Customer
from processors.core.time.instants import DAY_US, LONG_AGO_US, SECOND_US, rfc3339
from schemas.events import Event

Timed = tuple[int, Event]
"""An event with its instant in microseconds since 1970."""

NOBODY = Customer("")
"""A customer whom no worker knows yet."""


class Lateness:
    """Counts what workers with the same settings, who know nothing of it yet, would refuse as too old or too new."""

    def __init__(self, settings: Settings, *, live: bool = False) -> None:
        """`live`: each event is sent when the clock shows its instant, so that none is ahead of it."""
        kept = settings.retention
        self._retention = Retention.of_days(kept.windows_kept_days, kept.roots_days)
        self._kept_days = max(kept.windows_days, kept.roots_days)
        self._clock = Clock(settings.clock)
        self._now_us = self._clock.now_us()
        self._live = live
        self._late = 0
        self._ahead = 0
        self._oldest: dict[type[Event], Timed] = {}
        self._newest_us = LONG_AGO_US

    def watch(self, timed: Iterable[Timed]) -> Iterator[Timed]:
        """The same events; each is looked at as it passes."""
        young_us = self._now_us - self._retention.shortest_us
        latest_us = self._now_us + MAX_CLOCK_SKEW_US
        for at_us, event in timed:
            if at_us < young_us and self._retention.too_late(NOBODY, at_us, event, self._now_us):
                self._late += 1
            elif at_us > latest_us and not self._live:
                # A slow sender's clock goes on meanwhile.
                latest_us = self._clock.now_us() + MAX_CLOCK_SKEW_US
                self._ahead += at_us > latest_us
            kind = type(event)
            if kind not in self._oldest or at_us < self._oldest[kind][0]:
                self._oldest[kind] = (at_us, event)
            self._newest_us = max(self._newest_us, at_us)
            yield at_us, event

    def warnings(self) -> Iterator[str]:
        """One line, with the fix, for events that are too late, and one for events ahead of the clock."""
        now = rfc3339(self._now_us - self._now_us % SECOND_US)
        if self._late:
            yield (
                f"{self._late:,} events are older than workers keep any by this clock ({now}), who refuse them as "
                f"too_late: set {', or '.join(self._mends_of_late())}"
            )
        if self._ahead:
            yield (
                f"{self._ahead:,} events are more than 5 minutes ahead of this clock ({now}), and workers refuse them "
                f"as clock_skew: send them again when their time has come, or set {self._clock_at_the_end()}"
            )

    def _mends_of_late(self) -> Iterator[str]:
        """Each of them has all events taken, but for those that no settings keep."""
        end_us = max(self._newest_us, self._now_us)
        days = self._days_until(end_us)
        clock_helps = self._days_until(self._newest_us) < days
        if clock_helps:
            yield self._clock_at_the_end()
        if days <= MAX_DAYS or not clock_helps:
            yield self._retention_until(end_us)

    def _clock_at_the_end(self) -> str:
        end_us = self._newest_us
        words = f"clock.mode = fixed and clock.at = {rfc3339(end_us)} for everything that runs"
        if any(self._retention.too_late(NOBODY, at_us, event, end_us) for at_us, event in self._oldest.values()):
            words += f", together with {self._retention_until(end_us)}"
        return words

    def _retention_until(self, end_us: int) -> str:
        """What keeps the oldest event until then."""
        days = self._days_until(end_us)
        words = f"retention.windows_days and retention.roots_days = {min(days, MAX_DAYS)}"
        if days > MAX_DAYS:
            words += f" (the most), and leave out what is older than {rfc3339(end_us - MAX_DAYS * DAY_US)}"
        return words

    def _days_until(self, end_us: int) -> int:
        """Whole days, and one more for a clock that goes on; never fewer than are kept now."""
        oldest_us = min(at_us for at_us, _ in self._oldest.values())
        return max((end_us - oldest_us) // DAY_US + 2, self._kept_days)
