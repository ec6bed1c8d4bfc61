"""What is told to receivers, how they want to be told, and the word that is kept of it."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from processors.read_model.acknowledgements import Hold
from schemas.alerts import State, Transition

ACTIVE: frozenset[State] = frozenset({"at_risk", "fired"})
"""States in which a customer still waits; the others end an alert."""


class Place(NamedTuple):
    """Where a transition stands in its topic."""

    partition: int
    offset: int
    timestamp_ms: int = 0
    """When the broker got it (wall, milliseconds since 1970)."""


class Notice(msgspec.Struct, kw_only=True):
    """One thing to tell a receiver about one alert."""

    transition: Transition
    place: Place | None = None
    """Where it came from, which is not committed before it is told; None: it is told once more."""
    hold: Hold | None = None
    """Somebody took care of the turn: a receiver that mirrors alerts takes this one out."""
    again_us: int | None = None
    """When a hold ended, and the alert is told once more (microseconds since 1970)."""
    failures: int = 0
    not_before: float = 0.0
    """Not tried before this (monotonic seconds)."""

    @property
    def key(self) -> str:
        """The same whenever the same thing is told: receivers can drop what they have already got."""
        once = f"{self.transition.alert_id}@{self.transition.revision}"
        return once if self.again_us is None else f"{once}+{self.again_us}"


Parcel = Sequence[Notice]
"""What goes out in one message."""


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How a receiver wants to be told."""

    every: bool = False
    """Every transition in order; else only what is still true when it can be told."""
    mirrors: bool = False
    """It shows what is active now: all of it is told again regularly, also after a restart."""
    tell: frozenset[State] = frozenset({"at_risk", "fired", "resolved", "retracted"})
    at_once: int = 1
    """How many messages may be under way at the same time."""
    together: int = 1
    """How many notices go into one message, at most."""
    digest_seconds: float = 0.0
    """At most one message per rep in so much time, with all its notices; 0: no digest."""


Result = Literal["sent", "rejected", "held"]


class Word(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a receiver was told last of an alert."""

    alert_id: str
    revision: int
    """Up to here the receiver is done with the alert; with result `held` it is told again when the hold ends."""
    result: Result
    told: State | None = None
    """What the receiver believes; None: it never heard of the alert, or took it out."""

    @classmethod
    def of(cls, transition: Transition, result: Result, told: State | None) -> "Word":
        """The word on a transition."""
        return cls(alert_id=transition.alert_id, revision=transition.revision, result=result, told=told)


def is_newer(word: Word, other: Word | None) -> bool:
    """Whether a record says more than another of the same alert."""
    return other is None or word.revision > other.revision
