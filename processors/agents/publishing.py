"""Publishing: changes go to the read model, again and again until they are there. Kafka never waits for it.

Only the owner publishes. It claims each partition first, in two steps: it announces its epoch, and once the coordinator
has confirmed the ownership *after* that, it claims. From then on the read model refuses older owners. It stops when its
lease ends, because another worker may own the partition then.
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
from processors.core.state.directory import Directory
from processors.core.time.instants import SECOND_US
from schemas.errors import Unavailable
from schemas.events import RepUpdated

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0
"""An unchanged partition is published this often all the same, to notice a read model that was emptied."""
RETRY_SECONDS = 1.0
"""Pause after the read model did not answer or had a newer state."""
REMINDER_SECONDS = 60.0
HISTORY_INTERVAL_SECONDS = 5.0
"""A partition that reads history is published only this often: nobody watches history live."""
HISTORY_AGE_US = 10 * SECOND_US
"""While records wait, older events are history. In a steady stream a few records always wait, but those are new."""

MAX_PORTION_FIELDS = 1000
"""A portion of this many fields holds the event loop for some 10 ms. Between portions, alerts fall due."""


POSITION_IS_BEHIND = (
    "everything is read up to %d, but %d is published, and the broker does not say that the topic was made anew: "
    "the read model stays as it is"
)


@dataclass
class PartitionPublication:
    """How far a partition is published."""

    partition: OwnedPartition
    whole: bool = True
    """Publish everything next: after an assignment, and whenever the read model may have missed something."""
    due: float = 0.0
    """Not before this (monotonic seconds)."""
    heartbeat: float = 0.0
    """At this time at the latest, even if nothing has changed (monotonic seconds)."""
    history: bool = False
    """It is due later because history is being read. Once the partition has caught up, it is due at once."""
    announced_at: float | None = None
    """The claim waits until the coordinator confirms a request sent after this (monotonic seconds)."""
    claimed: bool = False
    """The read model refuses older owners."""
    reminded_at: float = -math.inf
    """When the reason for not publishing was last logged (monotonic seconds)."""

    def is_due(self) -> bool:
        """Whether to publish now."""
        return self.due <= time.monotonic() or (self.history and self.partition.caught_up)


class Publisher:
    """Publishes the partitions and the directory."""

    def __init__(
        self,
        partitions: OwnedPartitions,
        directory: Directory,
        model: PublicationTarget,
        metrics: WorkerMetrics,
        ownership: Ownership,
    ) -> None:
        self._partitions = partitions
        self._ownership = ownership
        self._directory = directory
        self._model = model
        self._metrics = metrics
        self._publications: dict[int, PartitionPublication] = {}
        self._reps: dict[str, int] = {}
        self._failures: dict[str, str] = {}

    def add_changed_reps(self, offsets: Mapping[str, int]) -> None:
        """Publish the entries of these reps next. `offsets`: rep_id to the entry's offset in the directory's topic."""
        self._reps |= offsets

    async def publish(self) -> None:
        """Bring the read model up to date, while it answers and no other worker can own our partitions."""
        if not self._ownership.lease.holds:
            return
        what = "reps"
        try:
            for partition in self._partitions.recovered():
                what = partition.label
                publication = self._publication(partition)
                if publication.is_due():
                    await self._publish(publication)
            what = "reps"
            await self._publish_reps()
        except Unavailable as error:
            self._record_outcome(what, why=str(error))
        else:
            if not self._partitions.recovered():
                # The read model is not asked any more, so its last answer must not stay in the metric for ever.
                self._failures.clear()
                self._metrics.redis_up.set(math.nan)

    def _publication(self, partition: OwnedPartition) -> PartitionPublication:
        publication = self._publications.get(partition.number)
        if publication is None or publication.partition is not partition:
            publication = self._publications[partition.number] = PartitionPublication(partition)
        return publication

    async def _publish(self, publication: PartitionPublication) -> None:
        """Write changes; or everything, once the partition has come as far as what is already published."""
        partition, now = publication.partition, time.monotonic()
        publication.due, publication.history = now + RETRY_SECONDS, False
        if publication.whole and not (await self._is_claimed(publication) and await self._has_passed(publication)):
            return
        if not self._ownership.lease.holds:
            return
        whole = publication.whole
        if whole:
            partition.ledger.mark_everything()
        portions = partition.ledger.drain_portions(MAX_PORTION_FIELDS)
        first = next(portions, None)
        if whole or now >= publication.heartbeat or first is not None:
            publication.whole = True
            about = (partition.label, partition.position, max(partition.ledger.stream_us, 0))
            outcome = await self._model.publish_portions(
                about, chain(() if first is None else (first,), portions), whole
            )
            publication.whole = outcome != ACCEPTED
            if outcome == SUPERSEDED:
                self._supersede(publication)
            publication.heartbeat = now + HEARTBEAT_SECONDS
            publication.claimed = outcome not in (EMPTY, SUPERSEDED)
            if outcome == ACCEPTED:
                self._record_outcome(partition.label)
            elif outcome != EMPTY:
                return
        publication.history = _reads_history(partition)
        publication.due = now + HISTORY_INTERVAL_SECONDS if publication.history else 0.0

    async def _is_claimed(self, publication: PartitionPublication) -> bool:
        """Claim the partition in the read model: announce it, then wait until the coordinator confirms it as ours.

        A worker that was suspended between the two finds its announcement replaced by its successor's.
        """
        partition = publication.partition
        if publication.claimed or partition.epoch is None:
            return publication.claimed
        if publication.announced_at is None:
            await self._announce(publication, partition.epoch)
        elif self._ownership.lease.confirmed_after(publication.announced_at):
            publication.announced_at = None
            outcome = await self._model.claim(partition.label)
            publication.claimed = outcome == ACCEPTED
        else:
            publication.due = 0.0
        return publication.claimed

    async def _announce(self, publication: PartitionPublication, epoch: int) -> None:
        partition = publication.partition
        logs = await self._ownership.logs.identity()
        if logs is None:
            return
        outcome = await self._model.announce(partition.label, epoch, logs)
        if outcome == ACCEPTED:
            publication.announced_at, publication.due = self._ownership.lease.now(), 0.0
        else:
            self._supersede(publication)

    def _supersede(self, publication: PartitionPublication) -> None:
        """A newer owner was seen. If the partition is still ours, a new claim in the changelog makes us the newest."""
        partition = publication.partition
        self._remind(
            publication, "owner %d has lost it to a newer one, and claims it anew if it is ours", partition.epoch
        )
        partition.drop_claim()

    async def _has_passed(self, publication: PartitionPublication) -> bool:
        """Whether the partition is as far as what is published. If its log is gone, the published state is removed."""
        partition = publication.partition
        fence = await self._model.fence(partition.label)
        if fence is None or partition.position >= fence[0]:
            return True
        if not partition.caught_up:
            return False
        if await self._ownership.was_recreated(partition.number, *fence):
            logger.warning(
                "%s ends at %d, but %d is published: the topic was made anew",
                partition.label,
                partition.position,
                fence[0],
            )
            return await self._model.reset(partition.label) == ACCEPTED
        self._remind(publication, POSITION_IS_BEHIND, partition.position, fence[0])
        return False

    def _remind(self, publication: PartitionPublication, what: str, *values: object) -> None:
        """Log once in a while why a partition is not published."""
        now = time.monotonic()
        if now - publication.reminded_at >= REMINDER_SECONDS:
            publication.reminded_at = now
            logger.warning("%s: %s", publication.partition.label, what % values)

    async def _publish_reps(self) -> None:
        """Write new entries of the directory, again and again until they are written."""
        if not self._reps:
            return
        offsets = dict(self._reps)
        await self._model.put_reps(self._entries(offsets))
        for rep_id, offset in offsets.items():
            if self._directory.get(rep_id) is None:
                await self._model.remove_rep(rep_id, offset)
        self._record_outcome("reps")
        self._reps = {rep_id: offset for rep_id, offset in self._reps.items() if offsets.get(rep_id) != offset}

    def _entries(self, offsets: Mapping[str, int]) -> Iterable[tuple[RepUpdated, int]]:
        for rep_id, offset in offsets.items():
            rep = self._directory.get(rep_id)
            if rep is not None:
                yield rep, offset

    def _record_outcome(self, what: str, why: str | None = None) -> None:
        """Note that something was written, or why it was not. The read model is up once every failure was made good.

        The begin and the end of an outage are logged.
        """
        was_up = not self._failures
        if why is None:
            self._failures.pop(what, None)
        else:
            self._failures[what] = why
        owned = {"reps", *(partition.label for partition in self._partitions.recovered())}
        self._failures = {one: reason for one, reason in self._failures.items() if one in owned}
        self._metrics.redis_up.set(not self._failures)
        if was_up and self._failures:
            logger.warning("%s: going on without the read model, and catching up later", why)
        elif not was_up and not self._failures:
            logger.info("the read model takes what is published again: catching up")


def _reads_history(partition: OwnedPartition) -> bool:
    """Whether more records wait and the newest event that was read happened long ago."""
    return not partition.caught_up and partition.ledger.clock_us - partition.ledger.stream_us > HISTORY_AGE_US
