"""Duplicate or conflict: two messages of one event_id are the same fact if their content agrees (S27)."""

from decimal import InvalidOperation
from typing import Literal

from schemas.errors import BadRecord, Reason
from schemas.events import Event

Applied = Literal["applied", "duplicate"]


def require_same(known: Event, event: Event) -> None:
    """Check an event whose event_id is known already. Raises BadRecord (`conflict`) unless it is a duplicate."""
    try:
        if known == event:
            return
    except InvalidOperation:
        # A signalling NaN raises when compared, even with itself: such an amount is other content.
        pass
    kind = type(known).__struct_config__.tag
    raise BadRecord(Reason.CONFLICT, f"event_id {event.event_id!r} was already used for another {kind}")
