"""Publishing: what changed goes to the read model, again and again until it is there. Kafka never waits for it.

Only the owner publishes: it claims each part first, and stops when its lease ends. Another one may have it then.
"""

import logging
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

from processors.agents.metrics import WorkerMetrics
from processors.agents.ownership import Ownership
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from processors.agents.publication_target import ACCEPTED, EMPTY, SUPERSEDED, PublicationTarget
from processors.core.directory import Directory
from processors.core.instants import SECOND_US
from schemas.errors import Unavailable
from schemas.events import RepUpdated

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
"""A part that does not change is published this often all the same: so an emptied read model is noticed."""
RETRY_SECONDS = 1.0
"""Pause after the read model did not answer, or had a newer state."""
REMINDER_SECONDS = 60.0
HISTORY_INTERVAL_SECONDS = 5.0
"""A part that reads history is published this often: it needs no live view."""
HISTORY_AGE_US = 10 * SECOND_US
"""What happened longer ago is history while records wait. In a steady stream some always wait: they are news."""

MAX_PORTION_FIELDS = 1000
"""A portion of so many fields holds the event loop for some 10 ms; between two of them, alerts fall due."""


POSITION_IS_BEHIND = (
    "everything is read up to %d, but %d is published, and the broker does not say that the topic was made anew: "
    "the read model stays as it is"
)


@dataclass
class PartitionPublication:
    """What the read model knows of a part."""

    part: OwnedPartition
    whole: bool = True
    """It needs everything: after an assignment, and whenever it may have missed something."""
    due: float = 0.0
    """Not before this (monotonic seconds)."""
    heartbeat: float = 0.0
    """By this at the latest, though nothing has changed (monotonic seconds)."""
    history: bool = False
    """It is due late, because history is read; no longer, once that is over."""
    announced_at: float | None = None
    """The claim waits for the coordinator to confirm the ownership after this (monotonic seconds)."""
    claimed: bool = False
    """Older owners are refused."""
    reminded_at: float = -math.inf
    """When it was last said why it is not published (monotonic seconds)."""

    def is_due(self) -> bool:
        """Whether to publish now."""
        return self.due <= time.monotonic() or (self.history and self.part.caught_up)


class Publisher:
    """Publishes the parts and the directory."""

    def __init__(
        self,
        parts: OwnedPartitions,
        directory: Directory,
        model: PublicationTarget,
        metrics: WorkerMetrics,
        ownership: Ownership,
    ) -> None:
        self._parts = parts
        self._ownership = ownership
        self._directory = directory
        self._model = model
        self._metrics = metrics
        self._publications: dict[int, PartitionPublication] = {}
        self._reps: dict[str, int] = {}
        self._failing: dict[str, str] = {}

    def reps_changed(self, offsets: Mapping[str, int]) -> None:
        """These reps have new entries, at these offsets of the directory's topic."""
        self._reps |= offsets

    async def publish(self) -> None:
        """Bring the read model up to date, as far as it answers, and as long as nobody else can own our parts."""
        if not self._ownership.lease.holds:
            return
        what = "reps"
        try:
            for part in self._parts.recovered():
                what = part.label
                publication = self._publication(part)
                if publication.is_due():
                    await self._publish(publication)
            what = "reps"
            await self._publish_reps()
        except Unavailable as error:
            self._went(what, why=str(error))
        else:
            if not self._parts.recovered():
                # Nothing is asked any more: what was last answered would stand for ever.
                self._failing.clear()
                self._metrics.redis_up.set(math.nan)

    def _publication(self, part: OwnedPartition) -> PartitionPublication:
        publication = self._publications.get(part.number)
        if publication is None or publication.part is not part:
            publication = self._publications[part.number] = PartitionPublication(part)
        return publication

    async def _publish(self, publication: PartitionPublication) -> None:
        """Write what is new; everything, once the part has come as far as what is published already."""
        part, now = publication.part, time.monotonic()
        publication.due, publication.history = now + RETRY_SECONDS, False
        if publication.whole and not (await self._is_claimed(publication) and await self._has_passed(publication)):
            return
        if not self._ownership.lease.holds:
            return
        whole = publication.whole
        if whole:
            part.ledger.mark_everything()
        portions = part.ledger.portions(MAX_PORTION_FIELDS)
        first = next(portions, None)
        if whole or now >= publication.heartbeat or first is not None:
            publication.whole = True
            about = (part.label, part.position, max(part.ledger.stream_us, 0))
            outcome = await self._model.publish_portions(
                about, chain(() if first is None else (first,), portions), whole
            )
            publication.whole = outcome != ACCEPTED
            if outcome == SUPERSEDED:
                self._supersede(publication)
            publication.heartbeat = now + HEARTBEAT_SECONDS
            publication.claimed = outcome not in (EMPTY, SUPERSEDED)
            if outcome == ACCEPTED:
                self._went(part.label)
            elif outcome != EMPTY:
                return
        publication.history = _reads_history(part)
        publication.due = now + HISTORY_INTERVAL_SECONDS if publication.history else 0.0

    async def _is_claimed(self, publication: PartitionPublication) -> bool:
        """Claim the part in the read model: announce it, and wait until the coordinator confirms that it is ours."""
        part = publication.part
        if publication.claimed or part.epoch is None:
            return publication.claimed
        if publication.announced_at is None:
            await self._announce(publication, part.epoch)
        elif self._ownership.lease.confirmed_after(publication.announced_at):
            publication.announced_at = None
            outcome = await self._model.claim(part.label)
            publication.claimed = outcome == ACCEPTED
        else:
            publication.due = 0.0
        return publication.claimed

    async def _announce(self, publication: PartitionPublication, epoch: int) -> None:
        part = publication.part
        logs = await self._ownership.logs.identity()
        if logs is None:
            return
        outcome = await self._model.announce(part.label, epoch, logs)
        if outcome == ACCEPTED:
            publication.announced_at, publication.due = self._ownership.lease.now(), 0.0
        else:
            self._supersede(publication)

    def _supersede(self, publication: PartitionPublication) -> None:
        """A newer owner is there; if we are one all the same, a new claim in the changelog makes us the newest."""
        part = publication.part
        self._remind(publication, "owner %d has lost it to a newer one, and claims it anew if it is ours", part.epoch)
        part.epoch = None

    async def _has_passed(self, publication: PartitionPublication) -> bool:
        """Whether what is published is no further than the part; a log that is gone is forgotten, and no other."""
        part = publication.part
        fence = await self._model.fence(part.label)
        if fence is None or part.position >= fence[0]:
            return True
        if not part.caught_up:
            return False
        if await self._ownership.made_anew(part.number, *fence):
            logger.warning(
                "%s ends at %d, but %d is published: the topic was made anew", part.label, part.position, fence[0]
            )
            return await self._model.reset(part.label) == ACCEPTED
        self._remind(publication, POSITION_IS_BEHIND, part.position, fence[0])
        return False

    def _remind(self, publication: PartitionPublication, what: str, *values: object) -> None:
        """Say once in a while why a part is not published."""
        now = time.monotonic()
        if now - publication.reminded_at >= REMINDER_SECONDS:
            publication.reminded_at = now
            logger.warning("%s: %s", publication.part.label, what % values)

    async def _publish_reps(self) -> None:
        """Write new directory entries; they are tried again until they are written."""
        if not self._reps:
            return
        offsets = dict(self._reps)
        await self._model.put_reps(self._entries(offsets))
        for rep_id, offset in offsets.items():
            if self._directory.get(rep_id) is None:
                await self._model.remove_rep(rep_id, offset)
        self._went("reps")
        self._reps = {rep_id: offset for rep_id, offset in self._reps.items() if offsets.get(rep_id) != offset}

    def _entries(self, offsets: Mapping[str, int]) -> Iterable[tuple[RepUpdated, int]]:
        for rep_id, offset in offsets.items():
            rep = self._directory.get(rep_id)
            if rep is not None:
                yield rep, offset

    def _went(self, what: str, why: str | None = None) -> None:
        """Note that something was written, or why it was not: only what was written shows that the read model is up.

        It is away while anything that could not be written still is not; that is logged when it begins and ends.
        """
        was_up = not self._failing
        if why is None:
            self._failing.pop(what, None)
        else:
            self._failing[what] = why
        owned = {"reps", *(part.label for part in self._parts.recovered())}
        self._failing = {one: reason for one, reason in self._failing.items() if one in owned}
        self._metrics.redis_up.set(not self._failing)
        if was_up and self._failing:
            logger.warning("%s: going on without the read model, and catching up later", why)
        elif not was_up and not self._failing:
            logger.info("the read model takes what is published again: catching up")


def _reads_history(part: OwnedPartition) -> bool:
    """Whether the newest event that was read is from long ago, and more of them wait."""
    return not part.caught_up and part.ledger.alerts.clock_us - part.ledger.stream_us > HISTORY_AGE_US
