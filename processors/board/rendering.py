"""The series of one rep: what a scrape shows of it."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from config.clock import Clock
from processors.board.families import BEFORE_FIRST_STAGE, FAMILIES, Layout, layout_of
from processors.board.store import IDENTITY, NUMBERS, STANDING, WAITING, Store
from processors.board.tally import EVERY_FIELD
from processors.board.text import fill, head, pairs, rep_template
from processors.core.instants import SECOND_US

INFO = ("crm_rep_info", "The directory of reps; join it for names.")
OLDEST = ("crm_request_oldest_open_timestamp_seconds", "Start of the longest present wait; 0: nobody waits.")
REQUESTS_OPEN = ("crm_requests_open", "Requests that wait now, by owner and by the levels they have passed.")
OPPORTUNITIES_OPEN = ("crm_opportunities_open", "Opportunities open now, by owner and present stage.")

FIXED = (INFO, REQUESTS_OPEN, OLDEST, OPPORTUNITIES_OPEN)
HEADS = tuple(head(name, meaning).encode() for name, meaning in FIXED) + tuple(
    head(family.name, family.meaning).encode() for family in FAMILIES
)
"""One for every family that reps have chunks in."""


class Chunk(NamedTuple):
    """The series of one rep in one family."""

    place: int
    """Of the family in HEADS."""
    samples: int
    text: bytes


class Rendering:
    """Renders reps from the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def chunks(self, rep_id: str, what: int) -> Iterator[Chunk]:
        """The rep's chunks that may have changed. `what` are the store's bits."""
        labels = pairs((("rep", rep_id), ("team", self._store.reps.team(rep_id))))
        if what == IDENTITY:
            name = pairs((("rep_name", self._store.reps.name(rep_id)),))
            yield Chunk(0, 1, f"{INFO[0]}{{{labels},{name}}} 1\n".encode())
        if what & WAITING:
            yield self._waiting(rep_id, labels)
            yield self._oldest(rep_id, labels)
        if what & STANDING:
            yield self._standing(rep_id, labels)
        if what & NUMBERS:
            yield from self._numbers(rep_id, labels, everything=what == IDENTITY)

    def _waiting(self, rep_id: str, labels: str) -> Chunk:
        ages, now_us = self._store.ages, self._store.now_us()
        counts = [0] * len(ages.classes)
        for request in self._store.waiting.of(rep_id).values():
            counts[ages.place(request, now_us)] += 1
        return Chunk(1, len(counts), fill(_by_one(REQUESTS_OPEN[0], "age", ages.classes), labels, counts))

    def _oldest(self, rep_id: str, labels: str) -> Chunk:
        """As a wall instant, as old as the wait is long. With a scaled clock it moves."""
        opened_us = min((request.opened_us for request in self._store.waiting.of(rep_id).values()), default=None)
        at = 0 if opened_us is None else (opened_us + self._clock.to_wall_us(0)) / SECOND_US
        return Chunk(2, 1, f"{OLDEST[0]}{{{labels}}} {at}\n".encode())

    def _standing(self, rep_id: str, labels: str) -> Chunk:
        pipelines = self._store.standing(rep_id)
        counts = dict.fromkeys(_stages(self._store, pipelines), 0)
        for stages in pipelines.values():
            for stage, count in stages.items():
                counts[stage] = counts.get(stage, 0) + count
        template = _by_one(OPPORTUNITIES_OPEN[0], "stage", tuple(counts))
        return Chunk(3, len(counts), fill(template, labels, list(counts.values())))

    def _numbers(self, rep_id: str, labels: str, *, everything: bool) -> Iterator[Chunk]:
        sums = self._store.sums(rep_id)
        moved = self._store.take_moved(rep_id) | (EVERY_FIELD if everything else 0)
        layout = layout_of(self._store.policy, self._store.ages.levels, sums)
        for place, (family, template) in enumerate(zip(FAMILIES, _templates(layout), strict=True), len(FIXED)):
            if family.reads & moved:
                values = family.values(layout, sums)
                yield Chunk(place, len(values), fill(template, labels, values))


def _stages(store: Store, pipelines: dict[str, dict[str, int]]) -> list[str]:
    """Before the first one, then the stages of the policy's first pipeline, and of those that the rep works in."""
    first = next(iter(store.policy.pipelines), None)
    mine = [name for name in store.policy.pipelines if name == first or name in pipelines]
    return [BEFORE_FIRST_STAGE, *(stage for name in mine for stage in store.policy.pipelines[name])]


@lru_cache(maxsize=4096)
def _templates(layout: Layout) -> tuple[str, ...]:
    return tuple(rep_template(family.name, family.labels(layout)) for family in FAMILIES)


@lru_cache(maxsize=4096)
def _by_one(name: str, label: str, values: tuple[str, ...]) -> str:
    return rep_template(name, [((label, value),) for value in values])
