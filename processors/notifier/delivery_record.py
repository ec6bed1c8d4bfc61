"""What the delivery log keeps of each alert: the last transition that a receiver is done with."""

from typing import Literal

import msgspec

from schemas.alerts import State, Transition

DeliveryResult = Literal["sent", "rejected", "held"]


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The last delivery of an alert to a receiver, as JSON on the log topic."""

    alert_id: str
    revision: int
    """The receiver is done with the alert up to here; after `held`, it is sent again when the hold ends."""
    result: DeliveryResult
    known_state: State | None = msgspec.field(default=None, name="told")
    """The state that the receiver shows; None: it never got the alert, or has removed it."""

    @classmethod
    def of(cls, transition: Transition, result: DeliveryResult, known_state: State | None) -> "DeliveryRecord":
        """The record for a transition."""
        return cls(alert_id=transition.alert_id, revision=transition.revision, result=result, known_state=known_state)

    def is_newer_than(self, other: "DeliveryRecord | None") -> bool:
        """Whether this record supersedes another one of the same alert."""
        return other is None or self.revision > other.revision
