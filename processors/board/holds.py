"""Acknowledged and snoozed turns: what the board shows of them, and how people put them there.

They lie in Redis, which the board reads once a second, and are recorded on a topic before they take effect. Kafka is
asked only when somebody acknowledges: a board that only shows does without it.
"""

from collections.abc import Mapping

from processors.board.held import turn_key
from processors.board.store import Store
from processors.read_model.acknowledgements import HoldStore, TurnHold, TurnKey
from processors.read_model.hold_polling import HoldPoller
from schemas.views import OpenRequest


class Desk:
    """Puts holds on turns, lets go of them, and keeps the store's picture of them. Raises what `HoldStore` raises."""

    def __init__(self, acks: HoldStore, store: Store) -> None:
        self.acks = acks
        self._store = store
        self._writes = 0

    async def acknowledge(self, one: OpenRequest, by: str) -> None:
        """Somebody takes care of a turn until it ends."""
        self._show(one, await self.acks.acknowledge(*turn_key(one), by))

    async def snooze(self, one: OpenRequest, by: str, until_us: int) -> None:
        """Nobody is to be told of a turn until an instant."""
        self._show(one, await self.acks.snooze(*turn_key(one), by, until_us))

    async def release(self, one: OpenRequest, by: str) -> None:
        """Let go of a turn."""
        await self.acks.release(*turn_key(one), by)
        self._show(one, None)

    async def run(self) -> None:
        """Read again and again, until cancelled. While Redis is away the picture stays."""
        await HoldPoller(self.refresh).run()

    async def refresh(self) -> None:
        """Read what is there; what was read while somebody wrote is read again next time. Raises Unavailable."""
        before = self._writes
        known = await self.acks.all()
        if before == self._writes:
            self._replace(known)

    def _show(self, one: OpenRequest, hold: TurnHold | None) -> None:
        self._writes += 1
        known = {key: each for key, each in self._store.held.known.items() if key != turn_key(one)}
        self._replace(known if hold is None else known | {turn_key(one): hold})

    def _replace(self, known: Mapping[TurnKey, TurnHold]) -> None:
        if known != self._store.held.known:
            self._store.held.known = known
            self._store.version += 1
