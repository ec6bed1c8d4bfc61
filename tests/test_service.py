"""However an app stops, its process ends, and says why."""

import asyncio

import pytest

from processors.service import cancel_other_tasks, stop_within


async def stops() -> None:
    """In good order."""


async def hangs() -> None:
    await asyncio.Event().wait()


async def is_cut_off() -> None:
    """As a commit that was under way in another thread."""
    raise asyncio.CancelledError


async def fails() -> None:
    raise ValueError("no")


@pytest.mark.parametrize(
    ("stop", "fault"),
    [
        (stops, None),
        (hangs, "did not stop within 0 s"),
        (is_cut_off, "did not stop in good order (CancelledError())"),
        (fails, "did not stop in good order (ValueError('no'))"),
    ],
)
def test_what_goes_wrong_with_a_stop_is_reported_and_reaches_nobody_else(stop: object, fault: str | None) -> None:
    assert callable(stop)
    assert asyncio.run(stop_within(stop(), 0.05)) == fault


def test_a_task_that_does_not_end_is_named_and_others_are_let_go() -> None:
    async def stubborn() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                continue

    async def run() -> list[str]:
        tasks = asyncio.create_task(stubborn()), asyncio.create_task(hangs())
        await asyncio.sleep(0)
        hanging = await cancel_other_tasks(0.05)
        over.set()
        await asyncio.wait(tasks)
        return hanging

    over = asyncio.Event()
    (name,) = asyncio.run(run())
    assert "stubborn" in name
