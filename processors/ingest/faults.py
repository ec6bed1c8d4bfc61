"""Faults of a real stream, for tests and drills: late, duplicate and malformed messages."""

from collections.abc import Iterable, Iterator

import msgspec

from processors.ingest.simulator.dice import Dice
from processors.kafka.timed_messages import TimedMessage
from schemas.errors import UsageError

MAX_OVERTAKEN_BY = 200
"""A message is overtaken by at most this many others."""


class Faults(msgspec.Struct, frozen=True):
    """Shares of messages (0 to 1) that something happens to."""

    disorder: float = 0.0
    """Come after up to 200 others that should follow."""
    duplicates: float = 0.0
    """Come a second time, later."""
    malformed: float = 0.0
    """Are followed by a damaged copy, which no decoder accepts."""


def with_faults(outgoing: Iterable[TimedMessage], faults: Faults, seed: int) -> Iterator[TimedMessage]:
    """The same messages, and what the faults add. Every original arrives whole, exactly once more than its duplicates.

    Raises UsageError for a share outside 0 to 1.
    """
    for name, share in msgspec.structs.asdict(faults).items():
        if not 0 <= share <= 1:
            raise UsageError(f"{name} {share}: a share from 0 to 1 is allowed")
    return _scramble(outgoing, faults, Dice(f"{seed}/faults"))


def _scramble(outgoing: Iterable[TimedMessage], faults: Faults, dice: Dice) -> Iterator[TimedMessage]:
    held: dict[int, list[TimedMessage]] = {}
    for index, message in enumerate(outgoing):
        if dice.chance(faults.duplicates):
            held.setdefault(_later(index, dice), []).append(message)
        if dice.chance(faults.disorder):
            held.setdefault(_later(index, dice), []).append(message)
        else:
            yield message
        if dice.chance(faults.malformed):
            at_us, key, value = message
            yield at_us, key, damaged(value, dice)
        yield from held.pop(index, ())
    for late in sorted(held):
        yield from held[late]


def _later(index: int, dice: Dice) -> int:
    return index + 1 + int(dice.random() * MAX_OVERTAKEN_BY)


def damaged(value: bytes, dice: Dice) -> bytes:
    """A copy with one of the mistakes that senders make."""
    return dice.pick(
        (
            value[: len(value) // 2],
            b"\xff\xfe" + value,
            value.replace(b'"type":"', b'"type":"x', 1),
            value.replace(b'"occurred_at":"', b'"at":"', 1),
            value.replace(b'Z","customer_id', b'","customer_id', 1),
            value.replace(b'"event_id":"', b'"event_id":"' + b"9" * 200, 1),
        )
    )
