"""What is to be looked at again, and when: the next instants of open turns.

A calendar of buckets of about a second: setting an alarm is one look-up, whatever else waits, and nothing is sorted
but what rings.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from processors.core.state.customers import Customer
from processors.core.state.requests import Request

BUCKET_BITS: Final = 20
"""A bucket is 2^20 microseconds."""

Alarm = tuple[int, Customer, Request]
"""An instant, and whose it is. One that was set anew meanwhile (`Request.next_us`) is not meant any more."""


class Alarms:
    """All alarms of one source partition. Instants are microseconds since 1970."""

    __slots__ = ("_buckets", "_numbers")

    def __init__(self) -> None:
        self._buckets: dict[int, list[Alarm]] = {}
        self._numbers: list[int] = []
        """A heap of the buckets' numbers."""

    def set(self, at_us: int, customer: Customer, request: Request) -> None:
        """Let it ring once time is past an instant."""
        number = at_us >> BUCKET_BITS
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = []
            heappush(self._numbers, number)
        bucket.append((at_us, customer, request))

    def ring(self, now_us: int) -> Iterator[Alarm]:
        """Those of the instants before this one that are still meant, in order; none of them rings again."""
        # Most turns ended in time: what they had set is not worth sorting.
        for alarm in sorted(filter(_is_meant, self._take(now_us)), key=_place):
            # It may have been set twice, and what rings first sets the next one.
            if _is_meant(alarm):
                yield alarm

    def _take(self, now_us: int) -> list[Alarm]:
        """Those of the instants before this one, out of their buckets."""
        taken: list[Alarm] = []
        while self._numbers and self._numbers[0] << BUCKET_BITS < now_us:
            number = heappop(self._numbers)
            bucket = self._buckets.pop(number)
            later = [alarm for alarm in bucket if alarm[0] >= now_us]
            taken += [alarm for alarm in bucket if alarm[0] < now_us]
            if later:
                self._buckets[number] = later
                heappush(self._numbers, number)
                break
        return taken


def _is_meant(alarm: Alarm) -> bool:
    at_us, _, request = alarm
    return request.next_us == at_us


def _place(alarm: Alarm) -> tuple[int, str, str]:
    at_us, customer, request = alarm
    return at_us, customer.customer_id, request.request_id
