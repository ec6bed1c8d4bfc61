"""A clock maps the wall's time to the one that settings ask for, the same in every process."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec

from config.clock import EPOCH, Clock, in_force, wall_us
from config.settings import ClockSettings

SECOND_US = 1_000_000
AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
ORIGIN = datetime(2026, 11, 23, 12, tzinfo=UTC)


def us(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // timedelta(microseconds=1)


class Wall:
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        self.now_us = us(ORIGIN)

    def __call__(self) -> int:
        return self.now_us


def test_the_wall_clock_is_the_wall() -> None:
    wall = Wall()
    clock = Clock(ClockSettings(), wall)
    wall.now_us += 5 * SECOND_US
    assert clock.now_us() == wall.now_us
    assert clock.to_wall_us(wall.now_us - 7) == wall.now_us - 7
    assert clock.shown_at_wall_us(wall.now_us + 7) == wall.now_us + 7


def test_an_instant_on_the_wall_does_not_depend_on_how_long_it_takes_to_say() -> None:
    clock = Clock(ClockSettings(), iter(range(us(ORIGIN), us(ORIGIN) + 100, 7)).__next__)
    assert {clock.to_wall_us(5), clock.to_wall_us(5), clock.to_wall_us(5)} == {5}


def test_the_real_wall_is_read_by_default() -> None:
    before_us = wall_us()
    assert before_us <= Clock(ClockSettings()).now_us() <= wall_us()


def test_a_scaled_clock_runs_as_fast_as_told_from_the_same_origin_in_every_process() -> None:
    wall = Wall()
    settings = ClockSettings(mode="scaled", at=AT, wall_origin=ORIGIN, speed=60.0)
    early = Clock(settings, wall)
    assert early.now_us() == us(AT)
    wall.now_us += 10 * SECOND_US
    late = Clock(settings, wall)
    assert early.now_us() == late.now_us() == us(AT) + 600 * SECOND_US
    assert late.speed == 60.0


def test_an_exported_instant_keeps_its_age() -> None:
    wall = Wall()
    clock = Clock(ClockSettings(mode="scaled", at=AT, wall_origin=ORIGIN, speed=60.0), wall)
    wall.now_us += 60 * SECOND_US
    assert clock.to_wall_us(us(AT)) == wall.now_us - 3600 * SECOND_US


def test_a_scaled_clock_knows_when_it_will_show_an_instant() -> None:
    clock = Clock(ClockSettings(mode="scaled", at=AT, wall_origin=ORIGIN, speed=60.0), Wall())
    assert clock.shown_at_wall_us(us(AT) + 3600 * SECOND_US) == us(ORIGIN) + 60 * SECOND_US


def test_a_fixed_clock_stands_still() -> None:
    wall = Wall()
    clock = Clock(ClockSettings(mode="fixed", at=AT), wall)
    wall.now_us += 99 * SECOND_US
    assert clock.now_us() == us(AT)
    assert clock.to_wall_us(us(AT) - 5) == wall.now_us - 5
    assert clock.shown_at_wall_us(us(AT) + 5) is None


def test_clocks_that_show_the_same_have_the_same_words() -> None:
    berlin = AT.astimezone(timezone(timedelta(hours=1)))
    assert in_force(ClockSettings(at=AT, speed=60.0)) == in_force(ClockSettings()) == 'mode = "wall"'
    assert in_force(ClockSettings(mode="fixed", at=berlin)) == 'mode = "fixed", at = 2026-03-01T09:00:00+00:00'
    scaled = ClockSettings(mode="scaled", at=AT, wall_origin=ORIGIN, speed=60.0)
    assert in_force(scaled) != in_force(msgspec.structs.replace(scaled, speed=61.0))
