"""Merges the events of many stories into order of time, an hour at a time."""

from operator import itemgetter

from processors.core.time.instants import HOUR_US
from schemas.events import Event

Timed = tuple[int, Event]
"""When it occurs, in microseconds since 1970, and what."""

_when = itemgetter(0)


class Timeline:
    """Events yet to come, by hour: appending and sorting an hour costs less than a heap of everything."""

    def __init__(self) -> None:
        self._hours: dict[int, list[Timed]] = {}

    def add(self, at_us: int, event: Event) -> None:
        """Keep an event until its hour is taken."""
        hour = at_us // HOUR_US
        pending = self._hours.get(hour)
        if pending is None:
            self._hours[hour] = [(at_us, event)]
        else:
            pending.append((at_us, event))

    def drain_hour(self, hour: int) -> list[Timed]:
        """The events of an hour (counted from 1970) in order; those of one instant as they were added."""
        events = self._hours.pop(hour, [])
        events.sort(key=_when)
        return events
