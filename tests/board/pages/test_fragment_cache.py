"""Fragments are made once for all who look at the same, as often as there is news, and never too often."""

import asyncio
import time

import pytest

from processors.board.pages import fragment_cache
from processors.board.pages.fragment_cache import MAX_BUSY_SHARE, MAX_FRAGMENTS, FragmentCache
from processors.board.pages.fragments import Fragment


class Kitchen:
    """Makes fragments, and counts them."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.made = 0
        self.version = 1
        self.now_us = 0
        self._seconds = seconds
        self.fragments = FragmentCache(lambda: self.version, lambda: self.now_us)

    async def make(self) -> Fragment:
        self.made += 1
        await asyncio.sleep(self._seconds)
        return Fragment(f"<!--part:a--><p>{self.made}</p>", self.now_us, stale_us=100)

    async def get(self, key: str = "view") -> str:
        return (await self.fragments.get(key, self.make)).html


@pytest.fixture
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fragment_cache, "REFRESH_SECONDS", 0.0)


def test_all_who_ask_at_once_get_the_one_that_is_being_made() -> None:
    async def run() -> None:
        kitchen = Kitchen(0.05)
        assert len(set(await asyncio.gather(*(kitchen.get() for _ in range(50))))) == 1
        assert kitchen.made == 1

    asyncio.run(run())


@pytest.mark.usefixtures("short_steps")
def test_it_is_made_anew_for_news_and_when_time_has_made_it_untrue() -> None:
    async def run() -> None:
        kitchen = Kitchen()
        await kitchen.get()
        await kitchen.get()
        assert kitchen.made == 1
        async with asyncio.timeout(20):
            kitchen.version = 2
            while kitchen.made < 2:
                await kitchen.get()
            kitchen.now_us = 101
            while kitchen.made < 3:
                await kitchen.get()

    asyncio.run(run())


@pytest.mark.usefixtures("short_steps")
def test_one_that_takes_long_is_made_less_often() -> None:
    async def run() -> None:
        kitchen = Kitchen(0.2)
        await kitchen.get()
        kitchen.version = 2
        await kitchen.get()
        assert kitchen.made == 1

    asyncio.run(run())


def test_a_failure_reaches_all_who_wait_and_is_not_cached() -> None:
    async def run() -> None:
        kitchen = Kitchen()

        async def fail() -> Fragment:
            raise LookupError("gone")

        for _ in range(2):
            with pytest.raises(LookupError):
                await kitchen.fragments.get("view", fail)
        assert await kitchen.get() == "<!--part:a--><p>1</p>"

    asyncio.run(run())


def test_those_that_nobody_asked_for_longest_are_forgotten() -> None:
    async def run() -> None:
        kitchen = Kitchen()
        for number in range(MAX_FRAGMENTS + 1):
            await kitchen.get(str(number))
            await kitchen.get("0")
        made = kitchen.made
        await kitchen.get("0")
        assert kitchen.made == made
        await kitchen.get("1")
        assert kitchen.made == made + 1

    asyncio.run(run())


def test_many_fragments_at_once_leave_the_event_loop_its_turns() -> None:
    async def run() -> None:
        kitchen, longest = Kitchen(), 0.0

        async def busy() -> Fragment:
            end = time.perf_counter() + 0.02
            while time.perf_counter() < end:
                pass
            return await kitchen.make()

        making = asyncio.gather(*(kitchen.fragments.get(number, busy) for number in range(30)))
        began = time.perf_counter()
        while not making.done():
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)
        assert kitchen.made == 30
        assert longest < (time.perf_counter() - began) / 5
        assert time.perf_counter() - began > 30 * 0.02 / MAX_BUSY_SHARE * 0.9

    asyncio.run(run())
