"""What makes two messages the same fact: the event_id says so, and the content must agree (S27)."""

from decimal import InvalidOperation
from typing import Literal

from schemas.errors import BadRecord, Reason
from schemas.events import Event

Applied = Literal["applied", "duplicate"]


def require_same(known: Event, event: Event) -> None:
    """For an event under an event_id that is taken; raises BadRecord (`conflict`) when it is no mere duplicate."""
    try:
        if known == event:
            return
    except InvalidOperation:
        # A signalling NaN for an amount compares with nothing: it is other content, too.
        pass
    kind = type(known).__struct_config__.tag
    raise BadRecord(Reason.CONFLICT, f"event_id {event.event_id!r} was already used for another {kind}")
