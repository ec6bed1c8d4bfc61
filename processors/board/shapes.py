"""What the API answers and takes, field by field: the JSON and its OpenAPI document both come from here.

Instants are RFC 3339 text in UTC, durations seconds, money text with two decimal places.
"""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from config.board_settings import Role
from processors.board.latest import Letter
from processors.core.comparison import Comparisons
from processors.core.numbers import Numbers
from processors.read_model.acknowledgements import MAX_NAME_CHARACTERS

LONGEST_SNOOZE_SECONDS = 30 * 86_400

Item = TypeVar("Item")


class About(msgspec.Struct, kw_only=True):
    """What every answer says first."""

    as_of: str
    """The present instant by Salespulse's clock."""
    currency: str
    stale_since: str | None
    """Since when Redis does not answer, by the wall's clock: what follows is the last state. Null: it is live."""


class Page(About, Generic[Item], kw_only=True):
    """A page of a list; `next` is the address of the following page, null on the last one.

    A page has `limit` items at most, and fewer when they are very large.
    """

    total: int
    """How many there are on all pages."""
    next: str | None
    items: list[Item]


class Rep(msgspec.Struct, kw_only=True):
    """A rep and its numbers by window."""

    rep_id: str
    name: str
    team: str
    time_zone: str
    active: bool
    open_requests: int
    oldest_open_at: str | None
    open_opportunities: dict[str, dict[str, int]]
    """By pipeline and stage; `_none` before the first stage."""
    windows: dict[str, Numbers]


class RepAnswer(Rep, kw_only=True):
    """One rep, beside the others of its team; with the fields of `About`."""

    comparison: dict[str, Comparisons]
    """By window."""
    as_of: str
    currency: str
    stale_since: str | None


class WaitingRequest(msgspec.Struct, kw_only=True):
    """A customer who waits. One hold at most: acknowledged (until the turn ends) or snoozed (until an instant)."""

    request_id: str
    turn: int
    customer_id: str
    rep_id: str
    rep_name: str
    team: str
    channel: str
    priority: str
    topic: str | None
    opened_at: str
    due_at: dict[str, str]
    """By level."""
    levels: list[str]
    """The levels that were passed."""
    acknowledged_by: str | None
    acknowledged_at: str | None
    snoozed_by: str | None
    snoozed_at: str | None
    snoozed_until: str | None
    waiting_seconds: float


class Team(msgspec.Struct):
    """A team and its numbers."""

    team: str
    reps: int
    windows: dict[str, Numbers]


class Company(msgspec.Struct):
    """Everyone's numbers."""

    windows: dict[str, Numbers]


class Teams(Page[Team], kw_only=True):
    """Teams and the company."""

    company: Company


class SegmentItem(msgspec.Struct):
    """The customers of one segment; the lifetime value is null without customers."""

    segment: str
    customers: int
    revenue: str
    cost: str
    lifetime_value: str | None


class PartitionItem(msgspec.Struct):
    """Up to where a source partition is counted."""

    partition: str
    offset: int
    newest_event_at: str | None


class Quality(About, kw_only=True):
    """What was wrong with records: window to reason to how many."""

    windows: dict[str, dict[str, int]]
    read: int
    """Records that were read, whatever became of them."""
    shares: dict[str, float]
    """Reason to the share of all records that were read (window `all`)."""
    examples: dict[str, str]
    """An example of some of the reasons, for people."""
    partitions: list[PartitionItem]


class Acknowledgement(msgspec.Struct, forbid_unknown_fields=True):
    """Who takes care of a request."""

    by: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)] | None = None
    """For where nobody signs in; else it may only say again who is signed in."""


class Snooze(Acknowledgement, forbid_unknown_fields=True):
    """Until when nobody is to be told of a request: one of `seconds` from now and `until`, by Salespulse's clock."""

    seconds: Annotated[int, Meta(ge=1, le=LONGEST_SNOOZE_SECONDS)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None


class Me(msgspec.Struct):
    """Who asks, null where nobody signs in, and what they may do."""

    name: str | None
    may: list[Role]


class DeadLetters(Page[Letter], kw_only=True):
    """The newest dead letters, newest first."""

    kept: int
    """How many are held at most."""
    counts: dict[str, int]
    """How many of those held there are of each reason."""
    failure: str | None
    """Why the topic could not be read just now; the items are from the time before."""


class ProblemBody(msgspec.Struct, kw_only=True):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
