"""What a worker expects of the read model; `processors.sinks.read_model` keeps it in Redis."""

from collections.abc import Iterable
from typing import Literal, Protocol

from schemas.events import RepUpdated
from schemas.views import Changes

ACCEPTED: Literal["accepted"] = "accepted"
STALE: Literal["stale"] = "stale"
EMPTY: Literal["empty"] = "empty"
SUPERSEDED: Literal["former"] = "former"


class PublicationTarget(Protocol):
    """The boards' view. Every value is absolute; a fence keeps older owners, and older states, from overwriting it.

    Every method raises Unavailable when the read model does not answer.
    """

    async def publish_portions(self, about: tuple[str, int, int], portions: Iterable[Changes], whole: bool) -> str:
        """Write the fields that changed, or all that there are; `about`: partition, source offset, newest event time.

        Each portion is asked for when the one before it was written: values may be newer than the offset.

        `accepted`; `stale`: a later state is there; `empty`: what was written before, or claimed, is gone; `former`:
        a newer owner has claimed the partition. After any other answer than the first, and after Unavailable,
        everything is to be published next.
        """

    async def announce(self, partition: str, epoch: int, logs: str) -> str:
        """Say that the owner of this epoch, which reads these logs, is about to claim: `accepted` or `former`."""

    async def claim(self, partition: str) -> str:
        """Refuse all older owners. To be called once the ownership was confirmed after the announcement.

        `accepted`; `former`; `empty`: the announcement is gone.
        """

    async def fence(self, partition: str) -> tuple[int, str] | None:
        """The source offset of what is published of a partition, and the identity of its logs; None: nothing is."""

    async def reset(self, partition: str) -> str:
        """Forget what is published of a partition that was claimed: `accepted`, `former` or `empty`."""

    async def reset_reps(self) -> None:
        """Forget the directory, and as of which offsets it was."""

    async def rep_ids(self) -> set[str]:
        """The reps that are published."""

    async def put_reps(self, reps: Iterable[tuple[RepUpdated, int]]) -> int:
        """Write directory entries as of offsets of the directory's topic; older ones have no effect."""

    async def remove_rep(self, rep_id: str, offset: int) -> int:
        """Take a rep out of the directory, as of an offset of its topic."""
