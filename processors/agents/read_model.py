"""What a worker expects of the read model; `processors.sinks.read_model` keeps it in Redis."""

from collections.abc import Iterable
from typing import Literal, Protocol

from schemas.events import RepUpdated
from schemas.views import Changes

ACCEPTED: Literal["accepted"] = "accepted"
STALE: Literal["stale"] = "stale"
EMPTY: Literal["empty"] = "empty"


class ReadModel(Protocol):
    """The boards' view. Every value is absolute; a fence keeps an older state from overwriting a newer one.

    Every method raises Unavailable when the read model does not answer.
    """

    async def publish_portions(self, about: tuple[str, int, int], portions: Iterable[Changes], whole: bool) -> str:
        """Write the fields that changed, or all that there are; `about`: partition, source offset, newest event time.

        Each portion is asked for when the one before it was written: values may be newer than the offset.

        `accepted`; `stale`: a later state is there; `empty`: what was written before is gone. After any other answer
        than the first, and after Unavailable, everything is to be published next.
        """

    async def fence(self, partition: str) -> int | None:
        """The source offset of what is published of a partition; None: nothing is."""

    async def reset(self, partition: str) -> None:
        """Forget what is published of a partition."""

    async def reset_reps(self) -> None:
        """Forget the directory, and as of which offsets it was."""

    async def rep_ids(self) -> set[str]:
        """The reps that are published."""

    async def put_reps(self, reps: Iterable[tuple[RepUpdated, int]]) -> int:
        """Write directory entries as of offsets of the directory's topic; older ones have no effect."""

    async def remove_rep(self, rep_id: str, offset: int) -> int:
        """Take a rep out of the directory, as of an offset of its topic."""
