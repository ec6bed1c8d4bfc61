"""Messages to be sent: when each occurred, its key and its value."""

from collections.abc import Iterable, Iterator

from processors.core.time.instants import instant_us
from schemas.codec import encode
from schemas.events import Event, Message, RepUpdated

TimedMessage = tuple[int, bytes, bytes]
"""The instant at which it occurred (microseconds since 1970; 0: unknown), the message key and its value."""


def from_events(timed: Iterable[tuple[int, Event]]) -> Iterator[TimedMessage]:
    """Events with their instants as messages for `crm.events`, keyed by customer."""
    return ((at_us, event.customer_id.encode(), encode(event)) for at_us, event in timed)


def from_messages(messages: Iterable[Message]) -> Iterator[TimedMessage]:
    """Events keyed by customer, or entries of the directory keyed by rep."""
    for message in messages:
        at = message.occurred_at
        yield 0 if at is None else instant_us(at), key_of(message), encode(message)


def key_of(message: Message) -> bytes:
    """The message key: an event's customer, or the rep of an entry of the directory."""
    return (message.rep_id if isinstance(message, RepUpdated) else message.customer_id).encode()
