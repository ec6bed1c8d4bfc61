"""When a rep's series change by time alone: its local day ends, or an open request passes a deadline."""

from heapq import heappop, heappush

from processors.board.state.age_classes import NEVER_US
from processors.board.state.store import NUMBERS, WAITS, Store
from processors.core.time.zones import zone_days

_MAX_OUTDATED = 1000
"""Outdated entries that the heap may hold before it is rebuilt."""


class RerenderSchedule:
    """Remembers, for every rendered rep, what will make its series untrue."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._days: dict[str, int] = {}
        """Zone to the day that its reps were rendered on."""
        self._zones: dict[str, str] = {}
        self._next_us: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def rendered(self, rep_id: str, changed: int) -> None:
        """A rep was rendered just now."""
        now_us = self._store.now_us()
        if changed & NUMBERS:
            zone = self._zones[rep_id] = self._store.reps.zone(rep_id)
            if zone not in self._days:
                self._days[zone] = zone_days(zone).day(now_us)
        if changed & WAITS:
            self._expect_deadline(rep_id, now_us)

    def forget(self, rep_id: str) -> None:
        """A rep has no series any more."""
        self._zones.pop(rep_id, None)
        self._next_us.pop(rep_id, None)

    def drain_due(self) -> list[tuple[str, int]]:
        """The reps to render again, each with the bits of what changed."""
        now_us = self._store.now_us()
        return [*self._past_midnight(now_us), *self._past_deadline(now_us)]

    def _past_midnight(self, now_us: int) -> list[tuple[str, int]]:
        turned = {zone for zone, day in self._days.items() if zone_days(zone).day(now_us) != day}
        for zone in turned:
            self._days[zone] = zone_days(zone).day(now_us)
        return [(rep_id, NUMBERS) for rep_id, zone in self._zones.items() if zone in turned] if turned else []

    def _past_deadline(self, now_us: int) -> list[tuple[str, int]]:
        due = []
        while self._heap and self._heap[0][0] < now_us:
            at_us, rep_id = heappop(self._heap)
            # An entry is outdated when the rep has got another deadline since: only the one in `_next_us` counts.
            if self._next_us.get(rep_id) == at_us:
                del self._next_us[rep_id]
                due.append((rep_id, WAITS))
        return due

    def _expect_deadline(self, rep_id: str, now_us: int) -> None:
        age_classes = self._store.age_classes
        requests = self._store.open_requests.owned_by(rep_id).values()
        at_us = min((age_classes.next_due_us(request, now_us) for request in requests), default=NEVER_US)
        if at_us == NEVER_US:
            self._next_us.pop(rep_id, None)
        elif self._next_us.get(rep_id) != at_us:
            self._next_us[rep_id] = at_us
            heappush(self._heap, (at_us, rep_id))
            if len(self._heap) > 2 * len(self._next_us) + _MAX_OUTDATED:
                self._heap = sorted((at_us, rep_id) for rep_id, at_us in self._next_us.items())
