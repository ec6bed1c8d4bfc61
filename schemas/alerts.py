"""Alert transitions on `crm.sla.alerts`, keyed by alert_id, and the word for each state (S17)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from schemas.events import Id, Word

State = Literal["at_risk", "fired", "resolved", "retracted"]

MAX_ALERT_ID = 1024
"""Characters: two ids of 128, each of which may be written three times as long, a turn and a level."""


class Transition(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True, tag="alert.transition"):
    """One step of one alert. Instants are integer microseconds since 1970; equal id and revision: the same step."""

    alert_id: Annotated[str, Meta(min_length=1, max_length=MAX_ALERT_ID)]
    """What `alert_id_of` makes: deterministic, so that saying it twice is harmless."""
    revision: int
    state: State
    level: Word
    severity: Word
    request_id: Id
    turn: int
    customer_id: Id
    rep_id: Id
    """The owner at the due instant."""
    team: Word
    channel: Word
    priority: Word
    opened_us: int
    due_us: int
    at_us: int
    """When the step became true: the due instant, the answer's, or the correction's."""
    reason: str
    """Why: `overdue`, `ended_overdue` (found only with the end of the turn, which is said next), `at_risk`, `answered`,
    `closed`, `answered_in_time`, `withdrawn`, `spam`, `corrected`."""
    topic: Word | None = None


decode_transition = msgspec.json.Decoder(Transition).decode
"""A transition from its topic; raises one of `schemas.codec.UNREADABLE`, also for ids and words of any length."""


def alert_id_of(customer_id: str, request_id: str, turn: int, level: str) -> str:
    """`<customer_id>/<request_id>/<turn>/<level>`; `%` and `/` within an id are written `%25` and `%2F`."""
    return f"{_quoted(customer_id)}/{_quoted(request_id)}/{turn}/{level}"


def _quoted(text: str) -> str:
    return text.replace("%", "%25").replace("/", "%2F")
