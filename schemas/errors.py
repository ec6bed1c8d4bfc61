"""Whose fault it is, and what to do next.

SalespulseError
├── UsageError          the caller's: a wrong option, file or value; exit 2
│   └── ConfigError     a wrong setting: file, key, value and what is allowed
├── BadRecord           the sender's: goes to the dead letters with its reason; the stream goes on
└── Unavailable         the surroundings': a broker, Redis or receiver that does not answer; exit 1 or retry
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a record is in the dead letters, or counted in the data quality."""

    MALFORMED = "malformed"
    UNKNOWN_TYPE = "unknown_type"
    TOO_LARGE = "too_large"
    UNREADABLE_BATCH = "unreadable_batch"
    CONFLICT = "conflict"
    ORPHAN = "orphan"
    UNKNOWN_STAGE = "unknown_stage"
    FOREIGN_STAGE = "foreign_stage"
    UNKNOWN_CURRENCY = "unknown_currency"
    CLOCK_SKEW = "clock_skew"
    TOO_LATE = "too_late"
    DUPLICATE = "duplicate"
    TOMBSTONE = "tombstone"
    UNLINKED = "unlinked"
    CYCLE_NEGATIVE = "cycle_negative"
    KEY_MISMATCH = "key_mismatch"


class SalespulseError(Exception):
    """Everything that Salespulse raises on purpose: one line that names the value, where it is, and what to do."""


class UsageError(SalespulseError):
    """A command or setting is wrong: the caller has to change it."""


class ConfigError(UsageError):
    """A setting is off: the message names file, key, value and what is allowed."""


class Unavailable(SalespulseError):
    """Something that Salespulse needs does not answer."""


class BadRecord(SalespulseError):
    """A record that cannot count, with the reason that its dead letter carries."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
