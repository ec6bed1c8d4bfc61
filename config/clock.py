"""The clock that the settings ask for. Everything else takes instants as arguments."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import assert_never

from config.settings import ClockSettings
from config.toml_writer import toml_value

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wall_us() -> int:
    """The wall's instant in microseconds since 1970."""
    return time.time_ns() // 1000


class Clock:
    """The wall's own time, a scaled one that all processes with the same settings share, or one that stands still."""

    def __init__(self, settings: ClockSettings, wall: Callable[[], int] = wall_us) -> None:
        self._wall = wall
        now_us = wall()
        match settings.mode:
            case "wall":
                self._origin_us, self._wall_origin_us, self._speed = now_us, now_us, 1.0
            case "scaled":
                self._origin_us, self._wall_origin_us = _instant_us(settings.at), _instant_us(settings.wall_origin)
                self._speed = settings.speed
            case "fixed":
                self._origin_us, self._wall_origin_us, self._speed = _instant_us(settings.at), now_us, 0.0
            case _:
                assert_never(settings.mode)

    @property
    def speed(self) -> float:
        """Virtual seconds in a second of the wall; 0: it stands still."""
        return self._speed

    def now_us(self) -> int:
        """The present instant in microseconds since 1970."""
        return self._at(self._wall())

    def to_wall_us(self, virtual_us: int) -> int:
        """The wall's instant that is as old as this one is here: exported so, an age is `time() - x` anywhere.

        With a scaled clock the answer moves; `shown_at_wall_us` does not.
        """
        now_us = self._wall()
        return now_us - (self._at(now_us) - virtual_us)

    def shown_at_wall_us(self, virtual_us: int) -> int | None:
        """The wall's instant at which this clock shows the given one; None: it stands still and never does."""
        if self._speed == 0.0:
            return None
        return self._wall_origin_us + round((virtual_us - self._origin_us) / self._speed)

    def _at(self, wall_now_us: int) -> int:
        """What it shows at an instant of the wall."""
        elapsed_us = wall_now_us - self._wall_origin_us
        return self._origin_us + (elapsed_us if self._speed == 1.0 else int(elapsed_us * self._speed))


def in_force(settings: ClockSettings) -> str:
    """The keys that make this clock, as the section `[clock]` writes them: equal for equal clocks."""
    keys = {"wall": (), "fixed": ("at",), "scaled": ("at", "wall_origin", "speed")}[settings.mode]
    values = [("mode", settings.mode), *((key, getattr(settings, key)) for key in keys)]
    return ", ".join(f"{key} = {toml_value(_in_utc(value))}" for key, value in values)


def _in_utc(value: object) -> object:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _instant_us(moment: datetime | None) -> int:
    if moment is None:
        raise ValueError("a scaled or fixed clock needs its instants; `load_settings` checks that")
    return (moment - EPOCH) // timedelta(microseconds=1)
