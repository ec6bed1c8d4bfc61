"""`/metrics` of all reps: rendered a few reps at a time, so that the event loop is never held up.

Changed reps are rendered when somebody asks; between scrapes only what goes beyond BACKLOG, so that a scrape never has
much left to do, and a rep that changes all the time is not rendered all the time. When very many changed at once, a
scrape shows some of them as they were a moment ago rather than keep Prometheus waiting.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf

from config.clock import Clock
from processors.board.ages import NEVER_US
from processors.board.chunks import Chunks
from processors.board.families import DEFAULT_WINDOWS, Span, Windows
from processors.board.rendering import HEADS, Rendering
from processors.board.shard import WHOLE, Shard
from processors.board.store import IDENTITY, NUMBERS, WAITING, Store
from processors.board.totals import folded, totals
from processors.board.unknown_reps import UnknownReps
from processors.core.state.first_names import OTHER
from processors.core.time.windows import WINDOWS
from processors.core.time.zones import zone_days

SLICE_SECONDS = 0.004
"""How long reps are rendered before the event loop gets its turn."""
BACKLOG = 500
"""So many changed reps may wait for the next scrape, and so many it renders whatever the time."""
REST_SECONDS = 0.004
"""Between two slices when nobody waits for them."""
LOOK_SECONDS = 0.1
"""How often to look whether there is a backlog."""
PATIENCE_SECONDS = 0.3
"""So long a scrape goes on rendering; those who have waited longest come first."""


class Exposition:
    """Keeps the rendered series of all reps."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        is_loaded: Callable[[], bool],
        shard: Shard = WHOLE,
        windows: Windows = DEFAULT_WINDOWS,
    ) -> None:
        """`is_loaded`: whether the store is filled; before, every rep would be rendered again and again."""
        self.is_complete = False
        """Whether every rep was rendered at least once since the store was filled."""
        self._store = store
        self._clock = clock
        self._is_loaded = is_loaded
        self._shard = shard
        self._windows = windows[Span.DAILY]
        self._rendering = Rendering(store, clock, windows)
        self._unknown = UnknownReps(store, self._rendering)
        self._unknown_slot: int | None = None
        self._folded_kinds: dict[str, int] = {}
        """Of the reps that have any: activities that are counted under `_other`."""
        self._families = [Chunks(head) for head in HEADS]
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._slots_made = 0
        self._pending: OrderedDict[str, int] = OrderedDict()
        self._turns = _Turns(store)
        self._asking = 0
        self._wall_offset_us = clock.to_wall_us(0)

    async def texts(self) -> list[bytes]:
        """Everything as it is now, for one answer; nothing before the store is filled: sums over some reps are wrong.

        The first answer takes as long as rendering everybody does.
        """
        if not self._is_loaded():
            return []
        self._asking += 1
        try:
            self._collect()
            self._follow_the_wall()
            await self._render_due()
        finally:
            self._asking -= 1
        self._render_unknown()
        texts = [text for family in self._families for text in family.texts()]
        if self._shard.number == 0:  # what belongs to no rep is told once
            shown = totals(self._store, self._clock, self._windows)
            texts.append((shown + folded(self._store, self._folded())).encode())
        return texts

    async def run(self) -> None:
        """Keep the backlog short until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._is_loaded():
                await self._catch_up()

    @property
    def samples(self) -> int:
        """How many series the reps have."""
        return sum(family.samples for family in self._families)

    @property
    def backlog(self) -> int:
        """How many reps are known to need rendering."""
        return len(self._pending)

    async def _catch_up(self) -> None:
        """What is done when nobody waits for it."""
        if not self._asking:
            self._collect()
        if self.is_complete:
            await self._render_some(BACKLOG, rest_seconds=REST_SECONDS)
        else:
            await self._render_everybody()

    async def _render_due(self) -> None:
        """What a scrape waits for."""
        if self.is_complete:
            await self._render_some(max(0, self.backlog - BACKLOG))
            await self._render_some(0, within_seconds=PATIENCE_SECONDS)
        else:
            await self._render_everybody()

    async def _render_everybody(self) -> None:
        await self._render_some(0)
        self.is_complete = True

    def _collect(self) -> None:
        for rep_id, what in [*self._store.take_touched().items(), *self._turns.due()]:
            if rep_id in self._slots or rep_id in self._unknown or self._is_here(rep_id):
                self._pend(rep_id, what)

    def _is_here(self, rep_id: str) -> bool:
        """Whether a rep belongs to this shard: all unknown ones belong to the first, or their sum would be torn."""
        return self._shard.number == 0 if self._unknown.is_unknown(rep_id) else self._shard.has(rep_id)

    def _follow_the_wall(self) -> None:
        """With a clock that is not the wall's, instants on the wall's move from one scrape to the next."""
        offset_us = self._clock.to_wall_us(0)
        if offset_us != self._wall_offset_us:
            self._wall_offset_us = offset_us
            for rep_id in self._slots:
                self._pend(rep_id, WAITING)
            self._unknown.has_changed = True

    def _pend(self, rep_id: str, what: int) -> None:
        self._pending[rep_id] = self._pending.get(rep_id, 0) | what

    async def _render_some(self, left: int, rest_seconds: float = 0, within_seconds: float = inf) -> None:
        """Render until so many reps are left, or the time is over; who has waited longest comes first."""
        now = time.monotonic()
        end, until = now + within_seconds, now + SLICE_SECONDS
        while len(self._pending) > left and now < end:
            self._render(*self._pending.popitem(last=False))
            now = time.monotonic()
            if now > until:
                await asyncio.sleep(rest_seconds)
                until = time.monotonic() + SLICE_SECONDS

    def _render(self, rep_id: str, what: int) -> None:
        if not self._store.knows(rep_id) or not self._is_here(rep_id):
            self._forget(rep_id)
            return
        if self._unknown.is_unknown(rep_id):
            self._leave(rep_id)
            self._unknown.put(rep_id)
        else:
            self._unknown.remove(rep_id)
            self._render_named(rep_id, what)
        if what & NUMBERS:
            self._count_folded(rep_id)
        self._turns.rendered(rep_id, what)

    def _render_named(self, rep_id: str, what: int) -> None:
        slot = self._slots.get(rep_id)
        if slot is None:
            slot = self._slots[rep_id] = self._new_slot()
            what = IDENTITY
        for place, samples, text in self._rendering.chunks(rep_id, what):
            self._families[place].put(slot, text, samples)

    def _render_unknown(self) -> None:
        """The unknown reps together, if anything of them has changed."""
        if not self._unknown.has_changed:
            return
        if self._unknown_slot is None:
            self._unknown_slot = self._new_slot()
        if not self._unknown:
            self._clear(self._unknown_slot)
        for place, samples, text in self._unknown.chunks() if self._unknown else ():
            self._families[place].put(self._unknown_slot, text, samples)

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
        """What has no series of its own, by label."""
        return {"kind": sum(self._folded_kinds.values()), "rep": len(self._unknown)}

    def _forget(self, rep_id: str) -> None:
        self._leave(rep_id)
        self._unknown.remove(rep_id)
        self._folded_kinds.pop(rep_id, None)
        self._turns.forget(rep_id)

    def _leave(self, rep_id: str) -> None:
        """A rep has no series of its own any more."""
        slot = self._slots.pop(rep_id, None)
        if slot is not None:
            self._free.append(slot)
            self._clear(slot)


_SPARE = 1000
"""So many outdated turns may lie about before they are cleared away."""


class _Turns:
    """Reps whose numbers change by time alone: a new local day, or a level that is passed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._days: dict[str, int] = {}
        self._zones: dict[str, str] = {}
        self._next_us: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def rendered(self, rep_id: str, what: int) -> None:
        """A rep was rendered just now."""
        now_us = self._store.now_us()
        if what & NUMBERS:
            zone = self._zones[rep_id] = self._store.reps.zone(rep_id)
            if zone not in self._days:
                self._days[zone] = zone_days(zone).day(now_us)
        if what & WAITING:
            self._expect(rep_id, now_us)

    def forget(self, rep_id: str) -> None:
        """A rep is no more."""
        self._zones.pop(rep_id, None)
        self._next_us.pop(rep_id, None)

    def due(self) -> list[tuple[str, int]]:
        """The reps to render again, each with what."""
        now_us = self._store.now_us()
        return [*self._over_midnight(now_us), *self._over_levels(now_us)]

    def _over_midnight(self, now_us: int) -> list[tuple[str, int]]:
        turned = {zone for zone, day in self._days.items() if zone_days(zone).day(now_us) != day}
        for zone in turned:
            self._days[zone] = zone_days(zone).day(now_us)
        return [(rep_id, NUMBERS) for rep_id, zone in self._zones.items() if zone in turned] if turned else []

    def _over_levels(self, now_us: int) -> list[tuple[str, int]]:
        over = []
        while self._heap and self._heap[0][0] < now_us:
            at_us, rep_id = heappop(self._heap)
            if self._next_us.get(rep_id) == at_us:
                del self._next_us[rep_id]
                over.append((rep_id, WAITING))
        return over

    def _expect(self, rep_id: str, now_us: int) -> None:
        ages = self._store.ages
        requests = self._store.waiting.of(rep_id).values()
        at_us = min((ages.next_us(request, now_us) for request in requests), default=NEVER_US)
        if at_us == NEVER_US:
            self._next_us.pop(rep_id, None)
        elif self._next_us.get(rep_id) != at_us:
            self._next_us[rep_id] = at_us
            heappush(self._heap, (at_us, rep_id))
            if len(self._heap) > 2 * len(self._next_us) + _SPARE:
                self._heap = sorted((at_us, rep_id) for rep_id, at_us in self._next_us.items())
