"""A worker without partitions says so now and then, and only then."""

import pytest

from processors.agents.idle_reminder import REMINDER_SECONDS, IdleReminder


def test_a_long_rebalance_is_logged_now_and_then_and_a_short_one_is_not(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    waiting = IdleReminder("salespulse", lambda: 1234, lambda: now)

    def pass_seconds(seconds: float, *, waits: bool) -> list[str]:
        nonlocal now
        caplog.clear()
        for _ in range(int(seconds)):
            now += 1.0
            waiting.beat(waits=waits)
        return caplog.messages

    assert pass_seconds(REMINDER_SECONDS - 1, waits=True) == []
    assert pass_seconds(60, waits=False) == []
    directory_reported_to = pass_seconds(2 * REMINDER_SECONDS + 1, waits=True)
    assert directory_reported_to[0] == (
        "no partitions for 15 s: group salespulse is rebalancing, or its state is being recovered (1234 events so far)"
    )
    assert len(directory_reported_to) == 2
