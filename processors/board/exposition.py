"""`/metrics` of all reps: rendered a few reps at a time, so that the event loop is never held up.

Changed reps are rendered when somebody asks; between scrapes only what goes beyond BACKLOG, so that a scrape never has
much left to do, and a rep that changes all the time is not rendered all the time. In the same way, what has been quiet
for a while is compressed in advance.
"""

import asyncio
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import chain, islice

from config.clock import Clock
from processors.board.ages import NEVER_US
from processors.board.chunks import Chunks, Piece
from processors.board.rendering import HEADS, Rendering
from processors.board.store import IDENTITY, NUMBERS, WAITING, Store
from processors.board.totals import oldest, totals
from processors.core.zones import zone_days

SLICE_SECONDS = 0.004
"""How long reps are rendered before the event loop gets its turn."""
BACKLOG = 500
"""So many changed reps may wait for the next scrape."""
REST_SECONDS = 0.01
"""Between two slices when nobody waits for them."""
LOOK_SECONDS = 0.5
"""How often to look whether there is a backlog."""
QUIET_SECONDS = 5.0
"""What has not changed for so long is compressed before anyone asks."""
BLOCKS_AT_ONCE = 400
"""So many blocks are compressed at each look."""


class Exposition:
    """Keeps the rendered series of all reps."""

    def __init__(self, store: Store, clock: Clock, is_loaded: Callable[[], bool]) -> None:
        """`is_loaded`: whether the store is filled; before, every rep would be rendered again and again."""
        self._store = store
        self._clock = clock
        self._is_loaded = is_loaded
        self._rendering = Rendering(store)
        self._families = [Chunks(head) for head in HEADS]
        self._slots: dict[str, int] = {}
        self._free: list[int] = []
        self._pending: dict[str, int] = {}
        self._turns = _Turns(store)
        self._asking = 0

    async def pieces(self) -> list[Piece]:
        """Everything as it is now, for one answer."""
        self._asking += 1
        try:
            self._collect()
            await self._render_all()
        finally:
            self._asking -= 1
        pieces = [piece for family in self._families for piece in family.pieces()]
        texts = [*await oldest(self._store, self._clock), totals(self._store, self._clock)]
        return [*pieces, Piece("".join(texts).encode())]

    async def run(self) -> None:
        """Keep the backlog short until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._is_loaded() and not self._asking:
                self._collect()
            await self._render_all(down_to=BACKLOG, rest_seconds=REST_SECONDS)
            await asyncio.to_thread(self._pack, self._quiet())

    @property
    def samples(self) -> int:
        """How many series the reps have."""
        return sum(family.samples for family in self._families)

    @property
    def backlog(self) -> int:
        """How many reps are known to need rendering."""
        return len(self._pending)

    def _quiet(self) -> list[Piece]:
        since = time.monotonic() - QUIET_SECONDS
        return list(islice(chain.from_iterable(family.quiet(since) for family in self._families), BLOCKS_AT_ONCE))

    @staticmethod
    def _pack(pieces: list[Piece]) -> None:
        for piece in pieces:
            piece.packed()

    def _collect(self) -> None:
        for rep_id, what in [*self._store.take_touched().items(), *self._turns.due()]:
            self._pending[rep_id] = self._pending.get(rep_id, 0) | what

    async def _render_all(self, down_to: int = 0, rest_seconds: float = 0) -> None:
        """Render slice by slice until so many reps are left."""
        until = time.monotonic() + SLICE_SECONDS
        while len(self._pending) > down_to:
            self._render(*self._pending.popitem())
            if time.monotonic() > until:
                await asyncio.sleep(rest_seconds)
                until = time.monotonic() + SLICE_SECONDS

    def _render(self, rep_id: str, what: int) -> None:
        if not self._store.knows(rep_id):
            self._forget(rep_id)
            return
        slot = self._slots.get(rep_id)
        if slot is None:
            slot = self._slots[rep_id] = self._free.pop() if self._free else len(self._slots)
            what = IDENTITY
        for place, chunk in self._rendering.chunks(rep_id, what):
            self._families[place].put(slot, chunk)
        self._turns.rendered(rep_id, what)

    def _forget(self, rep_id: str) -> None:
        slot = self._slots.pop(rep_id, None)
        if slot is not None:
            self._free.append(slot)
            self._turns.forget(rep_id)
            for family in self._families:
                family.put(slot, b"")


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
            self._days.setdefault(zone, zone_days(zone).day(now_us))
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
