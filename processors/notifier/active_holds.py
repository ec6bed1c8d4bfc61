"""The acknowledged and snoozed turns that the notifier honours, and the removal of those that nobody needs."""

from collections.abc import Callable, Mapping

from processors.core.time.instants import DAY_US
from processors.read_model.acknowledgements import HoldStore, TurnHold, TurnKey, in_force, obsolete


class ActiveHolds:
    """The holds as Redis had them last. Snoozes end by the clock, whether Redis answers or not."""

    def __init__(self, store: HoldStore, now_us: Callable[[], int], keep_days: int) -> None:
        """`now_us`: Salespulse's clock; `keep_days`: how long requests are kept, and acknowledgements with them."""
        self._store = store
        self._now_us = now_us
        self._keep_us = keep_days * DAY_US
        self._known: dict[TurnKey, TurnHold] | None = None
        self._ended: set[TurnKey] = set()

    def current(self) -> Mapping[TurnKey, TurnHold] | None:
        """What is in force now; None: Redis has not answered yet."""
        return None if self._known is None else in_force(self._known, self._now_us())

    def turn_ended(self, turn: TurnKey) -> None:
        """Nobody waits there any more: the turn's hold can go with the next refresh."""
        if self._known is not None and turn in self._known:
            self._ended.add(turn)

    async def refresh(self) -> None:
        """Read what is there, and delete what nobody needs any more. Raises Unavailable: then all stays as it was."""
        known = await self._store.all()
        removed = [turn for turn in self._ended if turn in known]
        removed += obsolete(known, self._now_us(), self._keep_us)
        if removed:
            await self._store.drop(removed)
        self._ended.clear()
        self._known = {turn: hold for turn, hold in known.items() if turn not in set(removed)}
