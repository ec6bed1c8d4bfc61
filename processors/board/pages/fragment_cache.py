"""Fragments that all readers of the same view share: made once, when the numbers or the time make it necessary."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable

import msgspec

from processors.board.pages.fragments import Fragment

STEP_SECONDS = 1.0
"""A fragment is made anew at most so often."""
LONGEST_STEP_SECONDS = 5.0
"""Without news it is made so often all the same: other things than numbers may have changed."""
SHARE = 0.2
"""Making a fragment again and again takes at most this share of the time: a large one is made less often."""
SHARE_OF_ALL = 0.5
"""Making fragments one after the other takes at most this share of the time, however many are asked for."""
MOST_FRAGMENTS = 256

Make = Callable[[], Awaitable[Fragment]]


class Made(msgspec.Struct):
    """A fragment, of which version of the numbers it is, when it was made and how long that took (monotonic s)."""

    fragment: Fragment
    version: int
    at: float
    seconds: float


class Shared:
    """The fragments. Those nobody has asked for longest are forgotten first."""

    def __init__(self, version: Callable[[], int], now_us: Callable[[], int]) -> None:
        self._version = version
        self._now_us = now_us
        self._made: dict[Hashable, Made] = {}
        self._making: dict[Hashable, asyncio.Task[Fragment]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def get(self, key: Hashable, make: Make) -> Fragment:
        """The present fragment of a view. Who asks while it is being made waits for that one."""
        made = self._made.pop(key, None)
        if made is not None:
            self._made[key] = made
            if self._is_fresh(made):
                return made.fragment
        if key not in self._making:
            task = self._making[key] = asyncio.create_task(self._make(key, make))
            task.add_done_callback(lambda _: self._making.pop(key, None))
        return await asyncio.shield(self._making[key])

    def _is_fresh(self, made: Made) -> bool:
        age = time.monotonic() - made.at
        least = max(STEP_SECONDS, made.seconds / SHARE)
        if age < least:
            return True
        same = made.version == self._version() and self._now_us() <= made.fragment.stale_us
        return same and age < max(LONGEST_STEP_SECONDS, least)

    async def _make(self, key: Hashable, make: Make) -> Fragment:
        async with self._one_at_a_time:
            version, began = self._version(), time.monotonic()
            fragment = await make()
            ended = time.monotonic()
            self._keep(key, Made(fragment, version, ended, ended - began))
            if self._waiting_for(key):
                await asyncio.sleep((ended - began) * (1 / SHARE_OF_ALL - 1))
        return fragment

    def _waiting_for(self, key: Hashable) -> bool:
        """Whether another fragment than this one is to be made next."""
        return any(other != key for other in self._making)

    def _keep(self, key: Hashable, made: Made) -> None:
        self._made[key] = made
        while len(self._made) > MOST_FRAGMENTS:
            del self._made[next(iter(self._made))]
