"""The hot loop: what every message costs beside fetching it and what the timers do."""

from collections.abc import Iterator
from itertools import islice
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from processors.core.ledger.ledger import Ledger
from schemas import codec
from schemas.errors import BadRecord, Reason
from schemas.events import Event

DECODE_BATCH_SIZE: Final = 64
"""Messages decoded in a row, then applied: both do not fit the processor's instruction cache at once."""


class RawMessage(Protocol):
    """Something that may hold an event's JSON."""

    @property
    def key(self) -> bytes | None:
        """The message key, by which Kafka chooses the partition."""

    @property
    def value(self) -> bytes | None:
        """The bytes; None: a tombstone."""


M = TypeVar("M", bound=RawMessage)


class RejectedMessage(NamedTuple, Generic[M]):
    """A message that did not count."""

    message: M
    why: BadRecord
    kind: type[Event] | None
    """The type of its event, if it has one."""


class MisplacedMessage(NamedTuple, Generic[M]):
    """A message whose key is not its event's customer: it counts, but may be in another partition than the customer."""

    message: M
    customer_id: str


class BatchOutcome(NamedTuple, Generic[M]):
    """What became of a batch."""

    last: M | None
    """Its last message."""
    messages: int
    """How many there were."""
    kinds: dict[type[Event], int]
    """How many events were applied, by type."""
    refused: list[RejectedMessage[M]]
    """Duplicates and tombstones are among them: nothing is lost with those."""
    misplaced: list[MisplacedMessage[M]]
    """All of them that hold an event, whatever became of it."""


def apply_messages(ledger: Ledger, messages: Iterator[M], raw: list[bytes], ids: list[str]) -> BatchOutcome[M]:
    """Decode messages and apply their events; what counted goes to `raw`, and its event_id to `ids`."""
    refused: list[RejectedMessage[M]] = []
    misplaced: list[MisplacedMessage[M]] = []
    last, count = None, 0
    while batch := list(islice(messages, DECODE_BATCH_SIZE)):
        last = batch[-1]
        count += len(batch)
        good, values, events = _decoded(batch, refused, misplaced)
        for index, event in enumerate(events):
            event_id = event.event_id
            try:
                if ledger.add(event_id, event):
                    raw.append(values[index])
                    ids.append(event_id)
                else:
                    refused.append(RejectedMessage(good[index], BadRecord(Reason.DUPLICATE, event_id), type(event)))
            except BadRecord as bad:
                refused.append(RejectedMessage(good[index], bad, None))
    return BatchOutcome(last, count, ledger.drain_counts(), refused, misplaced)


def _decoded(
    messages: list[M], refused: list[RejectedMessage[M]], misplaced: list[MisplacedMessage[M]]
) -> tuple[list[M], list[bytes], list[Event]]:
    """The messages that hold an event, their bytes and their events; the others are refused."""
    good, values, events = list[M](), list[bytes](), list[Event]()
    parse, max_bytes = codec.parse_event, codec.MAX_EVENT_BYTES
    for message in messages:
        value = message.value
        try:
            if value is None or len(value) > max_bytes:
                refused.append(RejectedMessage(message, _odd_size(value), None))
            else:
                event = parse(value)
                if message.key != event.customer_id.encode():
                    misplaced.append(MisplacedMessage(message, event.customer_id))
                good.append(message)
                values.append(value)
                events.append(event)
        except codec.UNREADABLE as error:
            refused.append(RejectedMessage(message, codec.why(error), None))
    return good, values, events


def _odd_size(value: bytes | None) -> BadRecord:
    """A tombstone is to be counted and ignored; what is too large is bad."""
    if value is None:
        return BadRecord(Reason.TOMBSTONE, "no value")
    return BadRecord(Reason.TOO_LARGE, f"{len(value)} bytes, at most {codec.MAX_EVENT_BYTES} are allowed")
