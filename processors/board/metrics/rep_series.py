"""Renders the series of one rep from the store."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from config.clock import Clock
from processors.board.metrics.families import (
    BEFORE_FIRST_STAGE,
    FAMILIES,
    Layout,
    Span,
    Windows,
    in_windows,
    layout_of,
    window_labels,
)
from processors.board.metrics.text_format import fill, head, pairs, rep_template
from processors.board.state.rolling_sums import EVERY_FIELD, Sums
from processors.board.state.store import IDENTITY, NUMBERS, OPPORTUNITIES, WAITS, Store
from processors.core.time.instants import SECOND_US

INFO = ("crm_rep_info", "The directory of reps; join it for names.")
OLDEST = ("crm_request_oldest_open_timestamp_seconds", "Start of the longest present wait; 0: nobody waits.")
REQUESTS_OPEN = ("crm_requests_open", "Requests that wait now, by owner and by the levels they have passed.")
OPPORTUNITIES_OPEN = ("crm_opportunities_open", "Opportunities open now, by owner and present stage.")

FIXED = (INFO, REQUESTS_OPEN, OLDEST, OPPORTUNITIES_OPEN)
HEADS = tuple(head(name, meaning).encode() for name, meaning in FIXED) + tuple(
    head(family.name, family.meaning).encode() for family in FAMILIES
)
"""The HELP and TYPE lines of every family of a rep, in the order of `Chunk.family`."""


class Chunk(NamedTuple):
    """The series of one rep in one family."""

    family: int
    """Index in HEADS."""
    samples: int
    text: bytes


class WaitCounts(NamedTuple):
    """The open requests of one rep or of several."""

    counts: tuple[int, ...]
    """By age class."""
    oldest_us: int | None
    """Start of the longest wait; None without open requests."""


class RepSeries:
    """Renders reps in the windows that are exported."""

    def __init__(self, store: Store, clock: Clock, windows: Windows) -> None:
        self._store = store
        self._clock = clock
        self._windows = {span: tuple(some) for span, some in windows.items()}

    def chunks(self, rep_id: str, changed: int) -> Iterator[Chunk]:
        """The rep's chunks that may have changed. `changed`: bits of the store, such as NUMBERS."""
        reps = self._store.reps
        labels = pairs((("rep", rep_id), ("team", reps.metric_team(rep_id))))
        if changed == IDENTITY:
            yield info(labels, reps.name(rep_id))
        if changed & WAITS:
            yield from self.waiting(self.waits(rep_id), labels)
        if changed & OPPORTUNITIES:
            yield self.opportunities(self._store.open_opportunities(rep_id), labels)
        if changed & NUMBERS:
            sums = self._store.sums(rep_id)
            moved = self._store.drain_moved(rep_id) | (EVERY_FIELD if changed == IDENTITY else 0)
            yield from self.numbers(sums, moved, labels)

    def waits(self, rep_id: str) -> WaitCounts:
        """A rep's open requests now."""
        classes, now_us, requests = (
            self._store.age_classes,
            self._store.now_us(),
            self._store.open_requests.owned_by(rep_id).values(),
        )
        counts = [0] * len(classes.classes)
        for request in requests:
            counts[classes.index_of(request, now_us)] += 1
        return WaitCounts(tuple(counts), min((request.opened_us for request in requests), default=None))

    def waiting(self, waits: WaitCounts, labels: str) -> Iterator[Chunk]:
        """Open requests by age class, and the start of the longest wait.

        The start is a wall-clock timestamp, as long ago as the wait is long. With a scaled clock it moves.
        """
        template = _by_one(REQUESTS_OPEN[0], "age", self._store.age_classes.classes)
        yield Chunk(1, len(waits.counts), fill(template, labels, waits.counts))
        at = 0 if waits.oldest_us is None else (waits.oldest_us + self._clock.to_wall_us(0)) / SECOND_US
        yield Chunk(2, 1, f"{OLDEST[0]}{{{labels}}} {at}\n".encode())

    def opportunities(self, pipelines: dict[str, dict[str, int]], labels: str) -> Chunk:
        """Open opportunities by stage."""
        counts = dict.fromkeys(_stages(self._store, pipelines), 0)
        for stages in pipelines.values():
            for stage, count in stages.items():
                counts[stage] = counts.get(stage, 0) + count
        template = _by_one(OPPORTUNITIES_OPEN[0], "stage", tuple(counts))
        return Chunk(3, len(counts), fill(template, labels, list(counts.values())))

    def numbers(self, sums: Sums, moved: int, labels: str, *, distinct: bool = True) -> Iterator[Chunk]:
        """The families that depend on a changed field. `distinct`: whether to include those of distinct customers."""
        layout = layout_of(self._store.policy, self._store.age_classes.levels, sums)
        chosen = {span: in_windows(sums, windows) for span, windows in self._windows.items()}
        templates = _templates(layout, tuple(self._windows.items()))
        for index, (family, template) in enumerate(zip(FAMILIES, templates, strict=True), len(FIXED)):
            if family.reads & moved and (distinct or not family.is_distinct):
                values = family.values(layout, chosen[family.span])
                yield Chunk(index, len(values), fill(template, labels, values))


def info(labels: str, name: str) -> Chunk:
    """A rep's name, from the directory."""
    return Chunk(0, 1, f"{INFO[0]}{{{labels},{pairs((('rep_name', name),))}}} 1\n".encode())


def _stages(store: Store, pipelines: dict[str, dict[str, int]]) -> list[str]:
    """`_none`, the stages of the policy's first pipeline, and those of other pipelines that the rep works in."""
    first = next(iter(store.policy.pipelines), None)
    mine = [name for name in store.policy.pipelines if name == first or name in pipelines]
    return [BEFORE_FIRST_STAGE, *(stage for name in mine for stage in store.policy.pipelines[name])]


@lru_cache(maxsize=4096)
def _templates(layout: Layout, windows: tuple[tuple[Span, tuple[str, ...]], ...]) -> tuple[str, ...]:
    labels = {span: window_labels(some) for span, some in windows}
    return tuple(rep_template(family.name, family.labels(layout, labels[family.span])) for family in FAMILIES)


@lru_cache(maxsize=4096)
def _by_one(name: str, label: str, values: tuple[str, ...]) -> str:
    return rep_template(name, [((label, value),) for value in values])
