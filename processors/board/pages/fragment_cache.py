"""Fragments shared by all pages with the same view: rendered once, when numbers or time have changed them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable

import msgspec

from processors.board.pages.fragments import Fragment

REFRESH_SECONDS = 1.0
"""Minimum age before a fragment is rendered again."""
MAX_AGE_SECONDS = 5.0
"""Maximum age even if no number has changed: other things may have."""
MAX_SHARE = 0.2
"""Rendering one fragment takes at most this share of the time: a slow one is rendered less often."""
MAX_BUSY_SHARE = 0.5
"""Rendering all fragments takes at most this share of the time, however many are requested."""
MAX_FRAGMENTS = 256

Render = Callable[[], Awaitable[Fragment]]


class CachedFragment(msgspec.Struct):
    """A fragment, the version that it shows, when it was rendered and how long that took (monotonic, s)."""

    fragment: Fragment
    version: int
    rendered_at: float
    seconds: float


class FragmentCache:
    """The least recently requested fragments are dropped first."""

    def __init__(self, version: Callable[[], int], now_us: Callable[[], int]) -> None:
        self._version = version
        self._now_us = now_us
        self._cached: dict[Hashable, CachedFragment] = {}
        self._in_progress: dict[Hashable, asyncio.Task[Fragment]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def get(self, key: Hashable, render: Render) -> Fragment:
        """The current fragment of a view. Requests during its rendering wait for the same one."""
        cached = self._cached.pop(key, None)
        if cached is not None:
            self._cached[key] = cached
            if self._is_fresh(cached):
                return cached.fragment
        if key not in self._in_progress:
            task = self._in_progress[key] = asyncio.create_task(self._render(key, render))
            task.add_done_callback(lambda _: self._in_progress.pop(key, None))
        return await asyncio.shield(self._in_progress[key])

    def _is_fresh(self, cached: CachedFragment) -> bool:
        age = time.monotonic() - cached.rendered_at
        min_age = max(REFRESH_SECONDS, cached.seconds / MAX_SHARE)
        if age < min_age:
            return True
        same = cached.version == self._version() and self._now_us() <= cached.fragment.stale_us
        return same and age < max(MAX_AGE_SECONDS, min_age)

    async def _render(self, key: Hashable, render: Render) -> Fragment:
        async with self._one_at_a_time:
            version, began = self._version(), time.monotonic()
            fragment = await render()
            ended = time.monotonic()
            self._keep(key, CachedFragment(fragment, version, ended, ended - began))
            if self._others_wait(key):
                await asyncio.sleep((ended - began) * (1 / MAX_BUSY_SHARE - 1))
        return fragment

    def _others_wait(self, key: Hashable) -> bool:
        """Whether another fragment waits to be rendered."""
        return any(other != key for other in self._in_progress)

    def _keep(self, key: Hashable, cached: CachedFragment) -> None:
        self._cached[key] = cached
        while len(self._cached) > MAX_FRAGMENTS:
            del self._cached[next(iter(self._cached))]
