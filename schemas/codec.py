"""Bytes to events and back. Decoders are built once: msgspec compiles them to the types."""

from typing import Final, TypeVar

import msgspec

from schemas.errors import BadRecord, Reason
from schemas.events import Event, Message, RepUpdated

T = TypeVar("T")

MAX_EVENT_BYTES = 64 * 1024
"""No honest event comes near it; what is larger is a dead letter, so that no single one can fill the journal."""

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be; the last one, for what is nested too deep."""

_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_rep = msgspec.json.Decoder(RepUpdated)
_message: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder()

parse_event = _event.decode
"""The hot path: raises one of UNREADABLE, which `why` explains."""


def decode_event(raw: bytes) -> Event:
    """One event of `crm.events`; raises BadRecord."""
    return _decode(_event, raw)


def decode_rep(raw: bytes) -> RepUpdated:
    """One entry of `crm.reps`; raises BadRecord."""
    return _decode(_rep, raw)


def decode_message(raw: bytes) -> Message:
    """A line of a replay file: an event or a rep's directory entry; raises BadRecord."""
    return _decode(_message, raw)


def encode(message: Message) -> bytes:
    """The canonical JSON of a message; defaults are left out."""
    return _encoder.encode(message)


def why(error: Exception) -> BadRecord:
    """The dead letter's reason for what a decoder raised."""
    text = str(error)
    unknown = isinstance(error, msgspec.ValidationError) and text.endswith("at `$.type`")
    return BadRecord(Reason.UNKNOWN_TYPE if unknown else Reason.MALFORMED, text)


def _decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    if len(raw) > MAX_EVENT_BYTES:
        raise BadRecord(Reason.TOO_LARGE, f"{len(raw)} bytes, at most {MAX_EVENT_BYTES} are allowed")
    try:
        return decoder.decode(raw)
    except UNREADABLE as error:
        raise why(error) from error
