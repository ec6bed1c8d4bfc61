"""The bodies of the API's requests and responses. The JSON and its OpenAPI document both come from here.

Instants are RFC 3339 text in UTC, durations seconds, money text with two decimal places.
"""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta

from config.board_settings import Role
from processors.board.state.dead_letter_tail import Letter
from processors.core.reports.comparison import Comparisons
from processors.core.reports.measures import Numbers
from processors.read_model.acknowledgements import MAX_NAME_CHARACTERS
from schemas.errors import Reason

MAX_SNOOZE_SECONDS = 30 * 86_400
MAX_WAIT_SECONDS = 10**9
MAX_TURN = 10**9
REASONS = tuple(reason.value for reason in Reason)

Item = TypeVar("Item")


class About(msgspec.Struct, kw_only=True):
    """The fields common to all responses with numbers."""

    as_of: str
    """Now, by Salespulse's clock."""
    currency: str
    stale_since: str | None
    """Time of the wall clock since when Redis has not answered: the numbers are the last known ones. Null: live."""


class Page(About, Generic[Item], kw_only=True):
    """A page of a list; `next` is the URL of the next page, null on the last one.

    A page has at most `limit` items, and fewer if they are very large.
    """

    total: int
    """Items on all pages."""
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
    """One rep, compared with the rest of its team; includes the fields of `About`."""

    comparison: dict[str, Comparisons]
    """By window."""
    as_of: str
    currency: str
    stale_since: str | None


class WaitingRequest(msgspec.Struct, kw_only=True):
    """An open request. It is either acknowledged (until the turn ends), snoozed (until a time) or neither."""

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
    """The levels whose deadline has passed."""
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
    """The numbers of the whole company."""

    windows: dict[str, Numbers]


class Teams(Page[Team], kw_only=True):
    """Teams and the company."""

    company: Company


class SegmentItem(msgspec.Struct):
    """One segment of customers. `lifetime_value` is null without customers."""

    segment: str
    customers: int
    revenue: str
    cost: str
    lifetime_value: str | None


class PartitionItem(msgspec.Struct):
    """How far a source partition is counted."""

    partition: str
    offset: int
    newest_event_at: str | None


class Quality(About, kw_only=True):
    """Data quality: rejected and suspicious records by window and reason."""

    windows: dict[str, dict[str, int]]
    read: int
    """Records read, valid or not."""
    shares: dict[str, float]
    """Reason to its share of all records read (window `all`)."""
    examples: dict[str, str]
    """Reason to a readable example, if there is one."""
    partitions: list[PartitionItem]


class Acknowledgement(msgspec.Struct, forbid_unknown_fields=True):
    """Acknowledges a request."""

    by: Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)] | None = None
    """The name to record if nobody is signed in; otherwise it must be the name of the signed-in user."""


class Snooze(Acknowledgement, forbid_unknown_fields=True):
    """Silences a request: either for `seconds` from now or `until` a time, by Salespulse's clock."""

    seconds: Annotated[int, Meta(ge=1, le=MAX_SNOOZE_SECONDS)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None


class Me(msgspec.Struct):
    """The signed-in user, null if nobody is signed in, and their permissions."""

    name: str | None
    may: list[Role]


class DeadLetters(Page[Letter], kw_only=True):
    """The newest dead letters, newest first."""

    kept: int
    """Maximum number of letters kept."""
    counts: dict[str, int]
    """Letters kept, by reason."""
    failure: str | None
    """Why the topic could not be read just now; the items are then from the previous read."""


class ProblemBody(msgspec.Struct, kw_only=True):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
