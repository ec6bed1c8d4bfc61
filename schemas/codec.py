"""Bytes to events and back. Decoders are built once: msgspec compiles them to the types."""

import re
from typing import Final, TypeVar

import msgspec

from schemas.errors import BadRecord, Reason
from schemas.events import REP_ID_PATTERN, Event, Message, RepUpdated
from schemas.views import UNASSIGNED

T = TypeVar("T")

MAX_EVENT_BYTES = 64 * 1024
"""No honest event comes near it; what is larger is a dead letter, so that no single one can fill the journal."""

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be; the last one, for what is nested too deep."""

_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
_rep = msgspec.json.Decoder(RepUpdated)
_message: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_encoder = msgspec.json.Encoder()
_is_rep_id = re.compile(REP_ID_PATTERN).fullmatch

parse_event = _event.decode
"""The hot path: raises one of UNREADABLE, which `why` explains."""


def decode_event(raw: bytes) -> Event:
    """One event of `crm.events`; raises BadRecord."""
    return _decode(_event, raw)


def decode_rep(raw: bytes) -> RepUpdated:
    """One entry of `crm.reps`; raises BadRecord."""
    return _checked(_decode(_rep, raw))


def decode_message(raw: bytes) -> Message:
    """A line of a replay file: an event or a rep's directory entry; raises BadRecord."""
    message = _decode(_message, raw)
    return _checked(message) if isinstance(message, RepUpdated) else message


def encode(message: Message) -> bytes:
    """The canonical JSON of a message; defaults are left out."""
    return _encoder.encode(message)


def why(error: Exception) -> BadRecord:
    """The dead letter's reason for what a decoder raised."""
    text = str(error)
    unknown = isinstance(error, msgspec.ValidationError) and text.endswith("at `$.type`")
    return BadRecord(Reason.UNKNOWN_TYPE if unknown else Reason.MALFORMED, text)


def _checked(rep: RepUpdated) -> RepUpdated:
    """An entry whose id can be a rep's: the stand-in for nobody has no name, team or zone of its own."""
    if rep.rep_id == UNASSIGNED:
        raise BadRecord(Reason.MALFORMED, f"{UNASSIGNED} stands for nobody and has no entry - at `$.rep_id`")
    if not _is_rep_id(rep.rep_id):
        raise BadRecord(Reason.MALFORMED, f"{rep.rep_id!r} is blank or has control characters - at `$.rep_id`")
    return rep


def _decode(decoder: msgspec.json.Decoder[T], raw: bytes) -> T:
    if len(raw) > MAX_EVENT_BYTES:
        raise BadRecord(Reason.TOO_LARGE, f"{len(raw)} bytes, at most {MAX_EVENT_BYTES} are allowed")
    try:
        return decoder.decode(raw)
    except UNREADABLE as error:
        raise why(error) from error
