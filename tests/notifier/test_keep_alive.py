"""What is active is sent again every minute, and at once when the wall's clock has stepped."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from config.clock import wall_us
from processors.core.time.instants import SECOND_US
from processors.notifier.delivery_queue import DeliveryQueue
from processors.notifier.keep_alive import KeepAlive
from processors.notifier.receivers.base import DeliveryPolicy, NotificationBatch, RecordPosition
from schemas.alerts import Transition
from tests.notifier.world import transition


class Screen:
    """A receiver that shows what is active."""

    def __init__(self) -> None:
        self.name = "screen"
        self.policy = DeliveryPolicy(shows_active=True)
        self.shown: list[list[str]] = []

    async def send(self, batch: NotificationBatch) -> Mapping[str, str]:
        """It gets changes elsewhere."""
        raise AssertionError(batch)

    async def keep_alive(self, active: Sequence[Transition]) -> None:
        """All that is active."""
        self.shown.append([each.request_id for each in active])

    async def close(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize("minutes", [10, -10])
def test_a_clock_that_steps_does_not_let_alerts_end(minutes: int) -> None:
    screen, queue, offset_us = Screen(), DeliveryQueue(DeliveryPolicy(shows_active=True)), 0
    for request in ("r1", "r2"):
        queue.add_delivered(transition(request), RecordPosition(0, 0), None)
    keep_alive = KeepAlive(screen, queue, lambda: wall_us() + offset_us)

    def looks() -> int:
        for _ in range(3):
            assert asyncio.run(keep_alive.send_due())
        return len(screen.shown)

    assert looks() == 1
    offset_us += minutes * 60 * SECOND_US
    assert looks() == 2
    assert looks() == 2
    assert screen.shown == [["r1", "r2"]] * 2
