"""The timers of open turns: at which instant each has to be looked at again.

A wheel of buckets of about a second: adding a timer is one look-up however many there are, and only what
is due is sorted.
"""

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final

from processors.core.state.customers import Customer
from processors.core.state.requests import Request

BUCKET_BITS: Final = 20
"""A bucket is 2^20 microseconds."""

Timer = tuple[int, Customer, Request]
"""An instant, a customer and a request. It is void once the request waits for another instant (`Request.next_us`)."""


class TimerWheel:
    """All timers of one source partition. Instants are microseconds since 1970."""

    __slots__ = ("_buckets", "_numbers")

    def __init__(self) -> None:
        self._buckets: dict[int, list[Timer]] = {}
        self._numbers: list[int] = []
        """A heap of the buckets' numbers."""

    def add(self, at_us: int, customer: Customer, request: Request) -> None:
        """Let it be due once time is past an instant."""
        number = at_us >> BUCKET_BITS
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = []
            heappush(self._numbers, number)
        bucket.append((at_us, customer, request))

    def drain_due(self, now_us: int) -> Iterator[Timer]:
        """The timers before an instant that are still valid, in order. None of them comes again."""
        # Most turns end in time, so most timers are void by now: they are not worth sorting.
        for timer in sorted(filter(_is_valid, self._drain(now_us)), key=_order):
            # A request may have two timers, and handling the first one may have made the second one void.
            if _is_valid(timer):
                yield timer

    def _drain(self, now_us: int) -> list[Timer]:
        """The timers before an instant, out of their buckets."""
        drained: list[Timer] = []
        while self._numbers and self._numbers[0] << BUCKET_BITS < now_us:
            number = heappop(self._numbers)
            bucket = self._buckets.pop(number)
            later = [timer for timer in bucket if timer[0] >= now_us]
            drained += [timer for timer in bucket if timer[0] < now_us]
            if later:
                self._buckets[number] = later
                heappush(self._numbers, number)
                break
        return drained


def _is_valid(timer: Timer) -> bool:
    at_us, _, request = timer
    return request.next_us == at_us


def _order(timer: Timer) -> tuple[int, str, str]:
    at_us, customer, request = timer
    return at_us, customer.customer_id, request.request_id
