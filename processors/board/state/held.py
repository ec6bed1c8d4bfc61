"""Which turns are acknowledged or snoozed, as the board knows it."""

from collections.abc import Callable, Mapping

from processors.notifier.acks import Hold, TurnKey
from schemas.views import OpenRequest


class Held:
    """The holds as Redis had them last."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self.known: Mapping[TurnKey, Hold] = {}
        self._now_us = now_us

    def of(self, one: OpenRequest) -> Hold | None:
        """What holds the turn at present; a snooze that has ended holds nothing."""
        hold = self.known.get(turn_key(one))
        return hold if hold is not None and hold.lasts(self._now_us()) else None


def turn_key(one: OpenRequest) -> TurnKey:
    """The turn that waits."""
    return TurnKey(one.customer_id, one.request_id, one.turn)
