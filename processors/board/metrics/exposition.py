"""The series of all reps, rendered a few reps at a time so that the event loop stays free.

A scrape renders the reps that changed since the last one. Between scrapes only a backlog above MAX_BACKLOG is rendered:
that bounds the work of a scrape, and a rep that changes all the time is not rendered all the time. If very many changed
at once, the scrape serves some of them as they were a moment ago rather than keep Prometheus waiting.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from math import inf

from config.clock import Clock
from processors.board.metrics.chunks import Chunks
from processors.board.metrics.families import DEFAULT_WINDOWS, Span, Windows
from processors.board.metrics.rep_series import HEADS, RepSeries
from processors.board.metrics.rerender_schedule import RerenderSchedule
from processors.board.metrics.shard import WHOLE, ExportShard
from processors.board.metrics.totals import folded, totals
from processors.board.metrics.unknown_reps import UnknownReps
from processors.board.state.store import IDENTITY, NUMBERS, WAITS, Store
from processors.core.state.first_names import OTHER
from processors.core.time.windows import WINDOWS

SLICE_SECONDS = 0.004
"""How long reps are rendered between two turns of the event loop."""
MAX_BACKLOG = 500
"""Changed reps that may wait for the next scrape, which renders this many whatever it takes."""
SLICE_PAUSE_SECONDS = 0.004
"""Pause between two slices when no scrape waits for them."""
BACKLOG_CHECK_SECONDS = 0.1
"""Interval at which the backlog is checked."""
SCRAPE_BUDGET_SECONDS = 0.3
"""How long a scrape renders beyond that; the reps that have waited longest come first."""


class Exposition:
    """Keeps the rendered series of all reps."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        is_loaded: Callable[[], bool],
        shard: ExportShard = WHOLE,
        windows: Windows = DEFAULT_WINDOWS,
    ) -> None:
        """`is_loaded`: whether the store is filled; before that, every rep would be rendered many times."""
        self.is_complete = False
        """Whether every rep has been rendered since the store was filled."""
        self._store = store
        self._clock = clock
        self._is_loaded = is_loaded
        self._shard = shard
        self._windows = windows[Span.DAILY]
        self._rep_series = RepSeries(store, clock, windows)
        self._unknown = UnknownReps(store, self._rep_series)
        self._unknown_slot: int | None = None
        self._folded_kinds: dict[str, int] = {}
        """Rep to its activities of the last 7 days that are counted under `_other`, if any."""
        self._families = [Chunks(head) for head in HEADS]
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._slots_made = 0
        self._pending: OrderedDict[str, int] = OrderedDict()
        self._schedule = RerenderSchedule(store)
        self._scrapes = 0
        self._wall_offset_us = clock.to_wall_us(0)

    async def texts(self) -> list[bytes]:
        """The whole exposition. Empty until the store is filled, because sums over some of the reps would be wrong.

        The first call renders every rep.
        """
        if not self._is_loaded():
            return []
        self._scrapes += 1
        try:
            self._collect()
            self._follow_wall_clock()
            await self._render_due()
        finally:
            self._scrapes -= 1
        self._render_unknown()
        texts = [text for family in self._families for text in family.texts()]
        if self._shard.number == 0:  # what belongs to no rep is exported by one shard only
            shown = totals(self._store, self._clock, self._windows)
            texts.append((shown + folded(self._store, self._folded())).encode())
        return texts

    async def run(self) -> None:
        """Keep the backlog short, until cancelled."""
        while True:
            await asyncio.sleep(BACKLOG_CHECK_SECONDS)
            if self._is_loaded():
                await self._catch_up()

    @property
    def samples(self) -> int:
        """Number of series of reps."""
        return sum(family.samples for family in self._families)

    @property
    def backlog(self) -> int:
        """Number of reps that wait to be rendered."""
        return len(self._pending)

    async def _catch_up(self) -> None:
        """One step of `run`."""
        if not self._scrapes:
            self._collect()
        if self.is_complete:
            await self._render_some(MAX_BACKLOG, rest_seconds=SLICE_PAUSE_SECONDS)
        else:
            await self._render_all()

    async def _render_due(self) -> None:
        """The rendering that a scrape waits for."""
        if self.is_complete:
            await self._render_some(max(0, self.backlog - MAX_BACKLOG))
            await self._render_some(0, within_seconds=SCRAPE_BUDGET_SECONDS)
        else:
            await self._render_all()

    async def _render_all(self) -> None:
        await self._render_some(0)
        self.is_complete = True

    def _collect(self) -> None:
        for rep_id, changed in [*self._store.drain_touched().items(), *self._schedule.drain_due()]:
            if rep_id in self._slots or rep_id in self._unknown or self._is_in_shard(rep_id):
                self._enqueue(rep_id, changed)

    def _is_in_shard(self, rep_id: str) -> bool:
        """Whether this shard exports a rep. The first exports all unknown reps, because they share one sum."""
        return self._shard.number == 0 if self._unknown.is_unknown(rep_id) else self._shard.has(rep_id)

    def _follow_wall_clock(self) -> None:
        """With a scaled clock, wall-clock timestamps move between two scrapes: render them again."""
        offset_us = self._clock.to_wall_us(0)
        if offset_us != self._wall_offset_us:
            self._wall_offset_us = offset_us
            for rep_id in self._slots:
                self._enqueue(rep_id, WAITS)
            self._unknown.has_changed = True

    def _enqueue(self, rep_id: str, changed: int) -> None:
        self._pending[rep_id] = self._pending.get(rep_id, 0) | changed

    async def _render_some(self, max_left: int, rest_seconds: float = 0, within_seconds: float = inf) -> None:
        """Render until at most `max_left` reps are left or the time is up, those who have waited longest first."""
        now = time.monotonic()
        end, until = now + within_seconds, now + SLICE_SECONDS
        while len(self._pending) > max_left and now < end:
            self._render(*self._pending.popitem(last=False))
            now = time.monotonic()
            if now > until:
                await asyncio.sleep(rest_seconds)
                until = time.monotonic() + SLICE_SECONDS

    def _render(self, rep_id: str, changed: int) -> None:
        if not self._store.knows(rep_id) or not self._is_in_shard(rep_id):
            self._forget(rep_id)
            return
        if self._unknown.is_unknown(rep_id):
            self._remove_series(rep_id)
            self._unknown.put(rep_id)
        else:
            self._unknown.remove(rep_id)
            self._render_named(rep_id, changed)
        if changed & NUMBERS:
            self._count_folded(rep_id)
        self._schedule.rendered(rep_id, changed)

    def _render_named(self, rep_id: str, changed: int) -> None:
        slot = self._slots.get(rep_id)
        if slot is None:
            slot = self._slots[rep_id] = self._new_slot()
            changed = IDENTITY
        for index, samples, text in self._rep_series.chunks(rep_id, changed):
            self._families[index].put(slot, text, samples)

    def _render_unknown(self) -> None:
        """Render the unknown reps as one, if any of them changed."""
        if not self._unknown.has_changed:
            return
        if self._unknown_slot is None:
            self._unknown_slot = self._new_slot()
        if not self._unknown:
            self._clear(self._unknown_slot)
        for index, samples, text in self._unknown.chunks() if self._unknown else ():
            self._families[index].put(self._unknown_slot, text, samples)

    def _new_slot(self) -> int:
        if self._free:
            return self._free.pop()
        self._slots_made += 1
        return self._slots_made - 1

    def _clear(self, slot: int) -> None:
        for family in self._families:
            family.put(slot, b"", 0)

    def _count_folded(self, rep_id: str) -> None:
        week = self._store.sums(rep_id)[list(WINDOWS).index("7d")]
        self._folded_kinds.pop(rep_id, None)
        if OTHER in week.activities:
            self._folded_kinds[rep_id] = week.activities[OTHER]

    def _folded(self) -> dict[str, int]:
        """What is counted under `_other` or `_unknown`, by label."""
        return {"kind": sum(self._folded_kinds.values()), "rep": len(self._unknown)}

    def _forget(self, rep_id: str) -> None:
        self._remove_series(rep_id)
        self._unknown.remove(rep_id)
        self._folded_kinds.pop(rep_id, None)
        self._schedule.forget(rep_id)

    def _remove_series(self, rep_id: str) -> None:
        """Remove the rep's own series."""
        slot = self._slots.pop(rep_id, None)
        if slot is not None:
            self._free.append(slot)
            self._clear(slot)
