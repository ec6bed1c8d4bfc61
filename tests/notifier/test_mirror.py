"""What is active is told again every minute, and at once when the wall's clock has stepped."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from config.clock import wall_us
from processors.core.time.instants import SECOND_US
from processors.notifier.book import Book
from processors.notifier.mirror import Mirror
from processors.notifier.notices import Habits, Parcel, Place
from schemas.alerts import Transition
from tests.notifier.world import transition


class Screen:
    """A receiver that shows what is active."""

    def __init__(self) -> None:
        self.name = "screen"
        self.habits = Habits(mirrors=True)
        self.shown: list[list[str]] = []

    async def send(self, parcel: Parcel) -> Mapping[str, str]:
        """It is told of changes elsewhere."""
        raise AssertionError(parcel)

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """All that is active."""
        self.shown.append([each.request_id for each in active])

    async def close(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize("minutes", [10, -10])
def test_a_clock_that_steps_does_not_let_alerts_end(minutes: int) -> None:
    screen, book, offset_us = Screen(), Book(Habits(mirrors=True)), 0
    for request in ("r1", "r2"):
        book.recall(transition(request), Place(0, 0), None)
    mirror = Mirror(screen, book, lambda: wall_us() + offset_us)

    def looks() -> int:
        for _ in range(3):
            assert asyncio.run(mirror.keep_alive())
        return len(screen.shown)

    assert looks() == 1
    offset_us += minutes * 60 * SECOND_US
    assert looks() == 2
    assert looks() == 2
    assert screen.shown == [["r1", "r2"]] * 2
