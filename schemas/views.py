"""The read model: what workers write and the board reads. Every value is absolute, never an increment.

A source partition owns six sections, each a Redis hash of field to msgpack bytes:

| section | field | value |
|---|---|---|
| partials | `rep|<rep_id>|<day>`, `team|<team>|<zones>|<day>`, `company||<zones>|<day>` (`pooled_subject`) | Partial |
| open | `<customer_id>|<request_id>` (`open_field`) | OpenRequest |
| standing | `<rep_id>` | OpenOpportunities |
| segments | `<segment>` | Segment |
| quality | `<day>` | dict of reason to count |
| examples | `<reason>` | an example of what was wrong, for people |

A day is the number of days since 1970-01-01, in the rep's zone. Team and company partials carry only the distinct
counts (`customers_answered`, `recontactable_customers`): everything else is the sum over their reps. Distinct counts
are attributed to the *last* day on which a customer qualified, so that a sum over the days of any window that reaches
to the present counts every customer once. A team's window is the union of its reps' own windows, which end on different
days in different zones. So its partials are kept by the zones whose clocks count their days (`core.time.last_days`),
and a team's number is the sum over all of them, each up to the today of its zones.
"""

from typing import Literal

import msgspec

Section = Literal["partials", "open", "standing", "segments", "quality", "examples"]
SECTIONS: tuple[Section, ...] = ("partials", "open", "standing", "segments", "quality", "examples")
Scope = Literal["rep", "team", "company"]

RESPONSE_BUCKETS_SECONDS = (300, 900, 1800, 3600, 14400, 28800, 86400, 259200)
"""Upper bounds (inclusive) of the response-time histogram; one more bucket is unbounded."""


class Partial(msgspec.Struct, gc=False, omit_defaults=True):
    """What one source partition adds to one rep and local day. Durations in integer microseconds, money in cents."""

    activities: dict[str, int] = {}
    recontactable_customers: int = 0
    responses: int = 0
    customers_answered: int = 0
    response_us: int = 0
    business_us: int = 0
    hold_us: int = 0
    response_buckets: list[int] = []
    """Not cumulative; empty, or one count for each of RESPONSE_BUCKETS_SECONDS and one beyond."""
    answered_within: dict[str, int] = {}
    """Turns answered in time, by level, on the responder's day of the answer."""
    breaches: dict[str, int] = {}
    """Turns not answered in time, by level, on the owner's day of the due instant (S08)."""
    closed_unanswered: dict[str, int] = {}
    opportunities_created: int = 0
    created_won: int = 0
    won: int = 0
    lost: int = 0
    won_cents: int = 0
    cycle_won_us: int = 0
    cycle_won: int = 0
    cycle_lost_us: int = 0
    cycle_lost: int = 0
    cycle_fallbacks: int = 0
    cycle_negative: int = 0
    """Closes on an earlier day than the creation, which are in no mean (S24)."""
    stages: dict[str, dict[str, list[int]]] = {}
    """pipeline -> stage -> [entered (reached), visited, advanced]"""


class OpenRequest(msgspec.Struct, gc=False, omit_defaults=True):
    """A turn that waits now. Instants are integer microseconds since 1970."""

    request_id: str
    turn: int
    customer_id: str
    rep_id: str
    """The present owner; `_unassigned` without one."""
    channel: str
    priority: str
    opened_us: int
    due_us: dict[str, int] = {}
    """The due instant of every level."""
    topic: str | None = None


class OpenOpportunities(msgspec.Struct, gc=False, omit_defaults=True):
    """What a rep has open now."""

    opportunities: dict[str, dict[str, int]] = {}
    """pipeline -> stage (`_none` before the first) -> open opportunities"""


class Segment(msgspec.Struct, gc=False, omit_defaults=True):
    """Customers with any revenue or cost, by present segment (S26)."""

    customers: int = 0
    revenue_cents: int = 0
    cost_cents: int = 0


class Changes(msgspec.Struct):
    """Fields of the read model to write and to delete, by section; the values are msgpack bytes."""

    puts: dict[Section, dict[str, bytes]]
    deletes: dict[Section, list[str]]

    def add(self, section: Section, field: str, value: bytes | None) -> None:
        """A field more; None: it is to be deleted."""
        if value is None:
            self.deletes.setdefault(section, []).append(field)
        else:
            self.puts.setdefault(section, {})[field] = value


UNASSIGNED = "_unassigned"
UNKNOWN_TEAM = "unknown"


def open_field(customer_id: str, request_id: str) -> str:
    """The field of an open request; `%` and `|` within an id are written `%25` and `%7C`, so that no two are alike."""
    return f"{_quoted(customer_id)}|{_quoted(request_id)}"


def _quoted(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C")


def pooled_subject(subject: str, zones: str) -> str:
    """The subject of a partial of a team, or of the company (`""`), by the clocks of zones."""
    return f"{_quoted(subject)}|{zones}"


def split_pooled_subject(pooled: str) -> tuple[str, str]:
    """Team (or `""`) and zones. Without zones, which versions before did not write, these are empty."""
    subject, _, zones = pooled.partition("|")
    return subject.replace("%7C", "|").replace("%25", "%"), zones


def partial_field(scope: Scope, subject: str, day: int) -> str:
    """The field of a partial; `split_partial_field` takes it apart whatever the subject contains."""
    return f"{scope}|{subject}|{day}"


def split_partial_field(field: str) -> tuple[str, str, int]:
    """Scope, subject and day of a partial's field."""
    scope, rest = field.split("|", 1)
    subject, day = rest.rsplit("|", 1)
    return scope, subject, int(day)
