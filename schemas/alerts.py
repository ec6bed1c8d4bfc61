"""Alert transitions on the topic `crm.sla.alerts`, keyed by alert_id (S17)."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from schemas.events import Id, ShortText

TAKEOVER: Final = "owner"

State = Literal["at_risk", "fired", "resolved", "retracted"]

MAX_ALERT_ID = 1024
"""Characters: two ids of 128, each of which may be written three times as long, a turn and a level."""


class Transition(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True, tag="alert.transition"):
    """One step of one alert. Instants are integer microseconds since 1970; equal id and revision: the same step."""

    alert_id: Annotated[str, Meta(min_length=1, max_length=MAX_ALERT_ID)]
    """What `alert_id_of` makes: deterministic, so that sending it twice is harmless."""
    revision: int
    state: State
    level: ShortText
    severity: ShortText
    request_id: Id
    turn: int
    customer_id: Id
    rep_id: Id
    """The owner at the due instant."""
    team: ShortText
    channel: ShortText
    priority: ShortText
    opened_us: int
    due_us: int
    at_us: int
    """When the step became true: the due instant, the answer's, or the correction's."""
    reason: str
    """Why: `overdue`, `ended_overdue` (found only with the end of the turn, which is sent next), `at_risk`, `answered`,
    `closed`, `answered_in_time`, `withdrawn`, `spam`, `corrected`."""
    topic: ShortText | None = None
    partition: int | None = None
    """The partition of the events topics that it is about; absent in transitions from before owners had epochs."""
    epoch: int | None = None
    """Which owner of that partition sent it: a later one has a higher number."""


decode_transition = msgspec.json.Decoder(Transition).decode
"""A transition from its topic; raises one of `schemas.codec.UNREADABLE`, also for ids and texts of excessive length."""


class Takeover(NamedTuple):
    """A new owner's announcement: from this record on, transitions of earlier owners do not count any more."""

    partition: int
    epoch: int
    logs: str = ""
    """The identity of the logs that the owner reads; with others, epochs begin anew."""

    @property
    def key(self) -> bytes:
        """The record's key, which no alert has; the record has no value."""
        return f"{TAKEOVER}/{self.partition}".encode()

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The record's headers."""
        return (("epoch", str(self.epoch).encode()), ("logs", self.logs.encode()))


def takeover_of(key: bytes | None, headers: Iterable[tuple[str, bytes]]) -> Takeover | None:
    """The take-over that a record without a value announces; None: it is none."""
    kind, _, partition = (key or b"").partition(b"/")
    found = dict(headers)
    epoch = found.get("epoch", b"")
    if kind != TAKEOVER.encode() or not (partition.isdigit() and epoch.isdigit()):
        return None
    return Takeover(int(partition), int(epoch), found.get("logs", b"").decode("utf-8", "replace"))


def alert_id_of(customer_id: str, request_id: str, turn: int, level: str) -> str:
    """`<customer_id>/<request_id>/<turn>/<level>`; `%` and `/` within an id are written `%25` and `%2F`."""
    return f"{_quoted(customer_id)}/{_quoted(request_id)}/{turn}/{level}"


def _quoted(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F")
