"""Which turns are acknowledged or snoozed, as the board knows it."""

from collections.abc import Callable, Mapping

from processors.read_model.acknowledgements import TurnHold, TurnKey
from schemas.views import OpenRequest


class Held:
    """The holds as Redis had them last."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self.known: Mapping[TurnKey, TurnHold] = {}
        self._now_us = now_us

    def of(self, one: OpenRequest) -> TurnHold | None:
        """What holds the turn at present; a snooze that has ended holds nothing."""
        hold = self.known.get(turn_key(one))
        return hold if hold is not None and hold.is_in_force(self._now_us()) else None


def turn_key(one: OpenRequest) -> TurnKey:
    """The turn that waits."""
    return TurnKey(one.customer_id, one.request_id, one.turn)
