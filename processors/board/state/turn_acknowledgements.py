"""Acknowledged and snoozed turns: the board's copy of them, and how people set and release them.

They are kept in Redis, which the board reads once a second, and are recorded on a Kafka topic before they take effect.
The producer starts with the first acknowledgement: a board that only displays needs no Kafka.
"""

from collections.abc import Mapping

from processors.board.state.store import Store
from processors.read_model.acknowledgements import HoldStore, TurnHold, TurnKey
from processors.read_model.hold_polling import HoldPoller
from schemas.views import OpenRequest


class Acknowledgements:
    """Sets and releases holds, and keeps a copy of those in Redis. Raises what `HoldStore` raises."""

    def __init__(self, holds: HoldStore, store: Store) -> None:
        """`store`: its version rises with every change of a hold."""
        self.holds = holds
        self.known: Mapping[TurnKey, TurnHold] = {}
        """The holds as last read from Redis."""
        self._store = store
        self._writes = 0

    def hold_of(self, request: OpenRequest) -> TurnHold | None:
        """The hold in force on the request's present turn, if any; a snooze that has ended is not in force."""
        hold = self.known.get(_turn_key(request))
        return hold if hold is not None and hold.is_in_force(self._store.now_us()) else None

    async def acknowledge(self, request: OpenRequest, by: str) -> None:
        """Hold the turn until it ends."""
        self._remember(request, await self.holds.acknowledge(*_turn_key(request), by))

    async def snooze(self, request: OpenRequest, by: str, until_us: int) -> None:
        """Silence the turn until an instant."""
        self._remember(request, await self.holds.snooze(*_turn_key(request), by, until_us))

    async def release(self, request: OpenRequest, by: str) -> None:
        """Release the turn."""
        await self.holds.release(*_turn_key(request), by)
        self._remember(request, None)

    async def run(self) -> None:
        """Poll Redis until cancelled. While Redis is away the copy stays as it is."""
        await HoldPoller(self.refresh).run()

    async def refresh(self) -> None:
        """Read the holds once. Raises Unavailable."""
        before = self._writes
        known = await self.holds.all()
        # A write during the read may be missing from it: keep the copy, the next poll reads both.
        if before == self._writes:
            self._replace(known)

    def _remember(self, request: OpenRequest, hold: TurnHold | None) -> None:
        self._writes += 1
        known = {key: each for key, each in self.known.items() if key != _turn_key(request)}
        self._replace(known if hold is None else known | {_turn_key(request): hold})

    def _replace(self, known: Mapping[TurnKey, TurnHold]) -> None:
        if known != self.known:
            self.known = known
            self._store.version += 1


def _turn_key(request: OpenRequest) -> TurnKey:
    return TurnKey(request.customer_id, request.request_id, request.turn)
