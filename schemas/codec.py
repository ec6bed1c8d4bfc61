"""Bytes to events and back. Decoders are built once: msgspec compiles them to the types."""

import re
from decimal import Decimal, InvalidOperation
from typing import Final, TypeVar

import msgspec

from schemas.errors import BadRecord, Reason
from schemas.events import AMOUNT_PATTERN, REP_ID_PATTERN, Event, Message, RepUpdated
from schemas.views import UNASSIGNED

T = TypeVar("T")

MAX_EVENT_BYTES = 64 * 1024
"""No honest event comes near it; what is larger is a dead letter, so that no single one can fill the journal."""

SHOWN_CHARACTERS = 40
"""Of a wrong amount in a dead letter's detail: it may have thousands of digits."""

UNREADABLE: Final = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What msgspec raises for bytes that are not what they should be; the last one, for what is nested too deep."""

_is_rep_id = re.compile(REP_ID_PATTERN).fullmatch
_is_amount = re.compile(AMOUNT_PATTERN).fullmatch


def _amount(_money: type, value: object) -> Decimal:
    """An amount from a text or a number, as the JSON Schema has it. Raises ValueError."""
    return Decimal(value) if type(value) is str and _is_amount(value) else _number(value)


def _any_amount(_money: type, value: object) -> Decimal:
    """An amount as it was accepted at some time, and as `encode` writes it: 1e2 as `1E+2`. Raises ValueError."""
    amount = _digits(value) if isinstance(value, str) else _number(value)
    if not amount.is_finite():
        raise ValueError(f"{str(amount)[:SHOWN_CHARACTERS]} is no amount")
    return amount


def _written_amount(money: type, value: object) -> Decimal:
    """An amount as a program has it: a float means the digits that it is written with. Raises ValueError."""
    return _amount(money, str(value) if isinstance(value, float) else value)


def _number(value: object) -> Decimal:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise ValueError(f"{repr(value)[:SHOWN_CHARACTERS]} is no amount of at most 10^12 with at most 2 decimal places")


def _digits(text: str) -> Decimal:
    """A number of an amount with all its digits. Raises ValueError."""
    try:
        return Decimal(text)
    except InvalidOperation as error:
        raise ValueError(f"{text[:SHOWN_CHARACTERS]} is no number that a decimal can hold") from error


_event: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event, dec_hook=_amount, float_hook=_digits)
_kept: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event, dec_hook=_any_amount, float_hook=_digits)
_rep = msgspec.json.Decoder(RepUpdated)
_message: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message, dec_hook=_amount, float_hook=_digits)
_encoder = msgspec.json.Encoder()

parse_event = _event.decode
"""The hot path: raises one of UNREADABLE, which `why` explains."""
parse_kept = _kept.decode
"""An event that was accepted before, also by an earlier version whose contract was wider."""


def decode_event(raw: bytes) -> Event:
    """One event of `crm.events`; raises BadRecord."""
    return _decode(_event, raw)


def decode_kept(raw: bytes) -> Event:
    """One event that may have been accepted by an earlier version; raises BadRecord."""
    return _decode(_kept, raw)


def decode_rep(raw: bytes) -> RepUpdated:
    """One entry of `crm.reps`; raises BadRecord."""
    return _checked(_decode(_rep, raw))


def decode_message(raw: bytes) -> Message:
    """A line of a replay file: an event or a rep's directory entry; raises BadRecord."""
    message = _decode(_message, raw)
    return _checked(message) if isinstance(message, RepUpdated) else message


def message_of(fields: object) -> Message:
    """A message from its fields, whose texts may stand for numbers; raises msgspec.ValidationError, BadRecord."""
    message: Message = msgspec.convert(fields, Message, strict=False, dec_hook=_written_amount)
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
