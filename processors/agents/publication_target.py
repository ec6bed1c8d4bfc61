"""The read model as a worker sees it."""

from collections.abc import Iterable
from typing import Literal, Protocol

from schemas.events import RepUpdated
from schemas.views import Changes

ACCEPTED: Literal["accepted"] = "accepted"
STALE: Literal["stale"] = "stale"
EMPTY: Literal["empty"] = "empty"
SUPERSEDED: Literal["former"] = "former"


class PublicationTarget(Protocol):
    """Where a worker publishes. Values are absolute, and a fence refuses older owners and older states.

    Every method raises Unavailable if the read model does not answer.
    """

    async def publish_portions(self, about: tuple[str, int, int], portions: Iterable[Changes], whole: bool) -> str:
        """Write changed fields, or all fields if `whole`. `about`: partition, position, time of the newest event.

        A portion is computed when the one before it is written, so its values may be newer than the position.

        Returns `accepted`; `stale`: a later state is there; `empty`: earlier fields or the claim are gone; `former`: a
        newer owner has claimed the partition. After any answer but the first, and after Unavailable, publish everything
        next.
        """

    async def announce(self, partition: str, epoch: int, logs: str) -> str:
        """Announce that the owner of this epoch, which reads these logs, is about to claim: `accepted` or `former`."""

    async def claim(self, partition: str) -> str:
        """Refuse all older owners from now on. Call it when the ownership was confirmed after the announcement.

        Returns `accepted`, `former`, or `empty`: the announcement is gone.
        """

    async def fence(self, partition: str) -> tuple[int, str] | None:
        """The published position of a partition, and the identity of its logs; None if nothing is published."""

    async def reset(self, partition: str) -> str:
        """Remove everything published of a claimed partition: `accepted`, `former` or `empty`."""

    async def reset_reps(self) -> None:
        """Remove the directory together with its offsets."""

    async def rep_ids(self) -> set[str]:
        """The reps that are published."""

    async def put_reps(self, reps: Iterable[tuple[RepUpdated, int]]) -> int:
        """Write entries with their offsets in the directory's topic; entries with older offsets have no effect."""

    async def remove_rep(self, rep_id: str, offset: int) -> int:
        """Remove a rep from the directory, as of an offset of its topic."""
