"""Reps that the directory does not know share one set of series: producers can invent any number of ids.

The API and the pages show each of them under its id.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from processors.board.metrics.rep_series import Chunk, RepSeries, WaitCounts, info
from processors.board.metrics.text_format import pairs
from processors.board.state.rolling_sums import EVERY_FIELD
from processors.board.state.store import Store
from processors.core.folds.scoreboards import bump
from processors.core.reports.window_sums import add
from processors.core.time.windows import WINDOWS
from schemas.views import UNASSIGNED, UNKNOWN_TEAM, Partial

UNKNOWN_REPS = "_unknown"

_LABELS = pairs((("rep", UNKNOWN_REPS), ("team", UNKNOWN_TEAM)))
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[Partial, ...]).decode


class _Share(NamedTuple):
    """The contribution of one rep."""

    numbers: bytes
    """The sums of all windows as msgpack, to save memory: there may be very many reps."""
    waits: WaitCounts
    opportunities: dict[str, dict[str, int]]


class UnknownReps:
    """Sums over the unknown reps, updated rep by rep."""

    def __init__(self, store: Store, rendering: RepSeries) -> None:
        self._store = store
        self._rep_series = rendering
        self._shares: dict[str, _Share] = {}
        self._sums = tuple(Partial() for _ in WINDOWS)
        self._ages = [0] * len(store.age_classes.classes)
        self._opportunities: dict[str, dict[str, int]] = {}
        self.has_changed = False

    def __len__(self) -> int:
        return len(self._shares)

    def __contains__(self, rep_id: str) -> bool:
        return rep_id in self._shares

    def is_unknown(self, rep_id: str) -> bool:
        """Whether the directory, as it is now, does not know a rep."""
        is_named = self._store.reps.get(rep_id) is not None or rep_id == UNASSIGNED
        return not is_named or rep_id == UNKNOWN_REPS

    def put(self, rep_id: str) -> None:
        """Count a rep, or count it again as it is now."""
        self.remove(rep_id)
        store = self._store
        share = _Share(_encode(store.sums(rep_id)), self._rep_series.waits(rep_id), store.open_opportunities(rep_id))
        self._shares[rep_id] = share
        self._count(share, 1)

    def remove(self, rep_id: str) -> None:
        """Stop counting a rep, if it was counted."""
        share = self._shares.pop(rep_id, None)
        if share is not None:
            self._count(share, -1)

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of all of them as one rep, without distinct customers, which cannot be summed (S11)."""
        self.has_changed = False
        starts = (share.waits.oldest_us for share in self._shares.values())
        oldest_us = min((start for start in starts if start is not None), default=None)
        yield info(_LABELS, UNKNOWN_REPS)
        yield from self._rep_series.waiting(WaitCounts(tuple(self._ages), oldest_us), _LABELS)
        yield self._rep_series.opportunities(self._opportunities, _LABELS)
        yield from self._rep_series.numbers(self._sums, EVERY_FIELD, _LABELS, distinct=False)

    def _count(self, share: _Share, sign: int) -> None:
        self.has_changed = True
        for into, part in zip(self._sums, _decode(share.numbers), strict=True):
            add(into, part, sign)
        for index, count in enumerate(share.waits.counts):
            self._ages[index] += sign * count
        for pipeline, stages in share.opportunities.items():
            mine = self._opportunities.setdefault(pipeline, {})
            for stage, count in stages.items():
                bump(mine, stage, sign * count)
            if not mine:
                del self._opportunities[pipeline]
