"""What is to be looked at again, and when: the next instants of open turns.

A calendar of buckets of about a second: setting an alarm is one look-up, whatever else waits, and nothing is sorted
but what rings.
"""

from heapq import heappop, heappush
from typing import Final

from processors.core.customers import Customer
from processors.core.requests import Request

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

    def ring(self, now_us: int) -> list[Alarm]:
        """Those of the instants before this one that are still meant, in order; none of them rings again."""
        ringing: list[Alarm] = []
        while self._numbers and self._numbers[0] << BUCKET_BITS < now_us:
            number = heappop(self._numbers)
            bucket = self._buckets.pop(number)
            later = [alarm for alarm in bucket if alarm[0] >= now_us]
            ringing += [alarm for alarm in bucket if alarm[0] < now_us and alarm[2].next_us == alarm[0]]
            if later:
                self._buckets[number] = later
                heappush(self._numbers, number)
                break
        ringing.sort(key=_place)
        return ringing

    def clear(self) -> None:
        """Forget all of them."""
        self._buckets.clear()
        self._numbers.clear()


def _place(alarm: Alarm) -> tuple[int, str, str]:
    at_us, customer, request = alarm
    return at_us, customer.customer_id, request.request_id
