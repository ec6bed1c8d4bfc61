"""The timer wheel: a valid timer is due once, in order, and not before time is past its instant."""

from hypothesis import given
from hypothesis import strategies as st

from processors.core.folds.timer_wheel import TimerWheel
from processors.core.state.customers import Customer
from processors.core.state.requests import Request

SECOND = 1_000_000


def waiting(request_id: str, next_us: int) -> tuple[Customer, Request]:
    request = Request(request_id, [])
    request.next_us = next_us
    return Customer("c1"), request


def due(timers: TimerWheel, now_us: int) -> list[tuple[int, str]]:
    return [(at_us, request.request_id) for at_us, _, request in timers.drain_due(now_us)]


def test_it_rings_once_and_only_after_its_instant() -> None:
    timers = TimerWheel()
    timers.add(5 * SECOND, *waiting("r1", 5 * SECOND))
    assert due(timers, 5 * SECOND) == []
    assert due(timers, 5 * SECOND + 1) == [(5 * SECOND, "r1")]
    assert due(timers, 9 * SECOND) == []


def test_what_waits_for_another_instant_by_now_does_not_ring() -> None:
    timers = TimerWheel()
    customer, request = waiting("r1", 5 * SECOND)
    timers.add(5 * SECOND, customer, request)
    request.next_us = 7 * SECOND
    timers.add(7 * SECOND, customer, request)
    assert due(timers, 6 * SECOND) == []
    assert due(timers, 8 * SECOND) == [(7 * SECOND, "r1")]


def test_what_was_set_twice_rings_once() -> None:
    timers = TimerWheel()
    customer, request = waiting("r1", 5 * SECOND)
    timers.add(5 * SECOND, customer, request)
    timers.add(5 * SECOND, customer, request)
    rings = 0
    for _ in timers.drain_due(6 * SECOND):
        rings += 1
        request.next_us = 7 * SECOND
    assert rings == 1


instants = st.integers(-10 * SECOND, 10 * SECOND)


@given(st.lists(instants, max_size=30), st.lists(instants, max_size=5))
def test_whenever_it_is_asked_all_of_them_ring_in_order(set_for: list[int], asked: list[int]) -> None:
    timers = TimerWheel()
    for number, at_us in enumerate(set_for):
        timers.add(at_us, *waiting(f"r{number:02d}", at_us))
    found: list[tuple[int, str]] = []
    for now_us in [*sorted(asked), 11 * SECOND]:
        ringing = due(timers, now_us)
        assert ringing == sorted(ringing)
        assert all(at_us < now_us for at_us, _ in ringing)
        found += ringing
    assert sorted(found) == sorted((at_us, f"r{number:02d}") for number, at_us in enumerate(set_for))
