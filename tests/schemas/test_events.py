"""The wire format is a promise: these bytes never change their meaning."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import events as ev
from schemas.codec import MAX_EVENT_BYTES, decode_event, decode_kept, decode_message, decode_rep, encode, parse_kept
from schemas.errors import BadRecord, Reason

AT = datetime(2026, 5, 1, 9, 30, 0, 250000, tzinfo=UTC)
HEAD = b'"event_id":"e1","occurred_at":"2026-05-01T09:30:00.250000Z","customer_id":"c1"'

GOLDEN: list[tuple[bytes, ev.Event]] = [
    (
        b'{"type":"request.opened","request_id":"r1","channel":"email","rep_id":"alice","topic":"price",'
        b'"priority":"urgent",' + HEAD + b',"source":"crm"}',
        ev.RequestOpened(
            event_id="e1",
            occurred_at=AT,
            customer_id="c1",
            source="crm",
            request_id="r1",
            channel="email",
            rep_id="alice",
            topic="price",
            priority="urgent",
        ),
    ),
    (
        b'{"type":"request.answered","rep_id":"bob","request_id":"r1","internal":true,' + HEAD + b"}",
        ev.RequestAnswered(
            event_id="e1", occurred_at=AT, customer_id="c1", request_id="r1", rep_id="bob", internal=True
        ),
    ),
    (
        b'{"type":"request.assigned","request_id":"r1",' + HEAD + b"}",
        ev.RequestAssigned(event_id="e1", occurred_at=AT, customer_id="c1", request_id="r1"),
    ),
    (
        b'{"type":"request.closed","request_id":"r1","reason":"spam",' + HEAD + b"}",
        ev.RequestClosed(event_id="e1", occurred_at=AT, customer_id="c1", request_id="r1", reason="spam"),
    ),
    (
        b'{"type":"activity.logged","rep_id":"bob","kind":"call","recontactable":true,"duration_seconds":61.5,'
        + HEAD
        + b"}",
        ev.ActivityLogged(
            event_id="e1",
            occurred_at=AT,
            customer_id="c1",
            rep_id="bob",
            kind="call",
            recontactable=True,
            duration_seconds=61.5,
        ),
    ),
    (
        b'{"type":"opportunity.created","opportunity_id":"o1","rep_id":"bob","segment":"smb",' + HEAD + b"}",
        ev.OpportunityCreated(
            event_id="e1", occurred_at=AT, customer_id="c1", opportunity_id="o1", rep_id="bob", segment="smb"
        ),
    ),
    (
        b'{"type":"opportunity.stage_entered","opportunity_id":"o1","rep_id":"bob","stage":"demo",' + HEAD + b"}",
        ev.OpportunityStageEntered(
            event_id="e1", occurred_at=AT, customer_id="c1", opportunity_id="o1", rep_id="bob", stage="demo"
        ),
    ),
    (
        b'{"type":"opportunity.won","opportunity_id":"o1","rep_id":"bob","amount":"12.50",' + HEAD + b"}",
        ev.OpportunityWon(
            event_id="e1", occurred_at=AT, customer_id="c1", opportunity_id="o1", rep_id="bob", amount=Decimal("12.50")
        ),
    ),
    (
        b'{"type":"opportunity.lost","opportunity_id":"o1","rep_id":"bob","reason":"price",' + HEAD + b"}",
        ev.OpportunityLost(
            event_id="e1", occurred_at=AT, customer_id="c1", opportunity_id="o1", rep_id="bob", reason="price"
        ),
    ),
    (
        b'{"type":"opportunity.reopened","opportunity_id":"o1","rep_id":"bob",' + HEAD + b"}",
        ev.OpportunityReopened(event_id="e1", occurred_at=AT, customer_id="c1", opportunity_id="o1", rep_id="bob"),
    ),
    (
        b'{"type":"opportunity.assigned","opportunity_id":"o1","rep_id":"bob",' + HEAD + b"}",
        ev.OpportunityAssigned(event_id="e1", occurred_at=AT, customer_id="c1", opportunity_id="o1", rep_id="bob"),
    ),
    (
        b'{"type":"customer.updated","segment":"smb",' + HEAD + b"}",
        ev.CustomerUpdated(event_id="e1", occurred_at=AT, customer_id="c1", segment="smb"),
    ),
    (
        b'{"type":"customer.revenue","amount":"-3",' + HEAD + b"}",
        ev.CustomerRevenue(event_id="e1", occurred_at=AT, customer_id="c1", amount=Decimal(-3)),
    ),
    (
        b'{"type":"customer.cost","amount":"0.1","kind":"acquisition",' + HEAD + b"}",
        ev.CustomerCost(event_id="e1", occurred_at=AT, customer_id="c1", amount=Decimal("0.1"), kind="acquisition"),
    ),
    (
        b'{"type":"event.retracted","retracts":"e0","entity":"request","entity_id":"r1",' + HEAD + b"}",
        ev.EventRetracted(
            event_id="e1", occurred_at=AT, customer_id="c1", retracts="e0", entity="request", entity_id="r1"
        ),
    ),
]


@pytest.mark.parametrize(("raw", "event"), GOLDEN, ids=[type(event).__name__ for _, event in GOLDEN])
def test_golden_bytes_say_the_same_in_both_directions(raw: bytes, event: ev.Event) -> None:
    assert decode_event(raw) == event
    assert encode(event) == raw


def test_every_type_of_the_contract_has_golden_bytes() -> None:
    assert {type(event) for _, event in GOLDEN} == set(ev.Event.__args__)


def test_a_rep_of_the_directory_has_golden_bytes() -> None:
    raw = b'{"type":"rep.updated","rep_id":"alice","name":"Alice \xe6\x9d\x8e","team":"North","time_zone":"Asia/Tokyo"}'
    rep = ev.RepUpdated(rep_id="alice", name="Alice 李", team="North", time_zone="Asia/Tokyo")
    assert decode_rep(raw) == rep
    assert decode_message(raw) == rep
    assert encode(rep) == raw


def test_unknown_fields_are_ignored() -> None:
    assert decode_event(b'{"type":"request.assigned","request_id":"r1","mood":["?"],' + HEAD + b"}").event_id == "e1"


def test_an_amount_may_be_a_number_and_keeps_its_digits() -> None:
    event = decode_event(b'{"type":"customer.revenue","amount":1234567890123.45,' + HEAD + b"}")
    assert isinstance(event, ev.CustomerRevenue)
    assert event.amount == Decimal("1234567890123.45")


@pytest.mark.parametrize(
    ("raw", "reason", "detail"),
    [
        (b"", Reason.MALFORMED, "truncated"),
        (b"{", Reason.MALFORMED, "truncated"),
        (b"\xff\xfe{}", Reason.MALFORMED, "malformed"),
        (b'{"type":"request.assigned","request_id":"\xe4",' + HEAD + b"}", Reason.MALFORMED, "utf-8"),
        (b"[]", Reason.MALFORMED, "Expected `object`"),
        (b"{}", Reason.MALFORMED, "missing required field `type`"),
        (b'{"type":"request.exploded",' + HEAD + b"}", Reason.UNKNOWN_TYPE, "request.exploded"),
        (b'{"type":"request.assigned",' + HEAD + b"}", Reason.MALFORMED, "missing required field `request_id`"),
        (
            b'{"type":"request.assigned","request_id":"r","event_id":"e","occurred_at":"2026-05-01T09:30:00","customer_id":"c"}',
            Reason.MALFORMED,
            "timezone",
        ),
        (
            b'{"type":"request.assigned","request_id":"' + b"x" * 129 + b'",' + HEAD + b"}",
            Reason.MALFORMED,
            "length <= 128",
        ),
        (b'{"type":"customer.cost","amount":1,"kind":"gift",' + HEAD + b"}", Reason.MALFORMED, "gift"),
        (b'{"type":"customer.revenue","amount":1e99999999999999999999,' + HEAD + b"}", Reason.MALFORMED, "no number"),
        (b'{"type":"customer.revenue","amount":' + b"1" * 5000 + b"," + HEAD + b"}", Reason.MALFORMED, "out of range"),
        (b'{"type":"customer.revenue","amount":{"a":1.5},' + HEAD + b"}", Reason.MALFORMED, "no amount"),
        (b'{"x":"' + b"x" * MAX_EVENT_BYTES + b'"}', Reason.TOO_LARGE, "bytes"),
    ],
)
def test_what_does_not_fit_is_a_bad_record_with_its_reason(raw: bytes, reason: Reason, detail: str) -> None:
    with pytest.raises(BadRecord) as caught:
        decode_event(raw)
    assert caught.value.reason is reason
    assert detail in caught.value.detail


@pytest.mark.parametrize("decode", [decode_event, decode_rep, decode_message])
def test_json_in_thousands_of_levels_is_refused_like_any_other(decode: Callable[[bytes], object]) -> None:
    value = b'{"type":"rep.updated","rep_id":"a","name":"A","x":' + b"[" * 5000 + b"]" * 5000 + b"}"
    with pytest.raises(BadRecord) as caught:
        decode(value)
    assert caught.value.reason in (Reason.MALFORMED, Reason.UNKNOWN_TYPE)


@pytest.mark.parametrize("amount", [b'"1_0"', b'" 10 "', b'"1.000"', '"\u0661"'.encode(), b"1e1"])
def test_an_amount_that_an_earlier_version_kept_is_read_again(amount: bytes) -> None:
    raw = b'{"type":"customer.revenue","amount":' + amount + b"," + HEAD + b"}"
    event = parse_kept(raw)
    assert isinstance(event, ev.CustomerRevenue)
    assert event.amount in (1, 10)
    assert parse_kept(encode(event)) == event


@pytest.mark.parametrize("amount", ["abc", "", "NaN", "sNaN", "-Infinity", "1E+99999999999999999999", "\ud800"])
def test_an_amount_that_nobody_ever_kept_is_a_bad_record_and_no_arithmetic_error(amount: str) -> None:
    raw = b'{"type":"customer.revenue","amount":' + json.dumps(amount).encode() + b"," + HEAD + b"}"
    with pytest.raises(BadRecord) as caught:
        decode_kept(raw)
    assert caught.value.reason is Reason.MALFORMED


@given(st.one_of(st.decimals(allow_nan=False, allow_infinity=False), st.integers(), st.floats(allow_nan=False)))
def test_whatever_amount_is_accepted_is_read_again_from_the_journal(amount: object) -> None:
    for text in (f"{amount}", f'"{amount}"'):
        raw = b'{"type":"customer.revenue","amount":' + text.encode() + b"," + HEAD + b"}"
        try:
            event = decode_event(raw)
        except BadRecord:
            continue
        assert parse_kept(raw) == event
        assert parse_kept(encode(event)) == event


@pytest.mark.parametrize("rep_id", ["  ", "\u3000", "a\u0000b", "\u0000", "ann\n", "a\u0085"])
def test_a_blank_id_or_one_with_control_characters_is_no_reps(rep_id: str) -> None:
    raw = msgspec.json.encode({"type": "rep.updated", "rep_id": rep_id, "name": "Ann"})
    for decode in (decode_rep, decode_message):
        with pytest.raises(BadRecord, match="blank or has control characters"):
            decode(raw)


def test_nobody_has_no_entry_in_the_directory() -> None:
    raw = b'{"type":"rep.updated","rep_id":"_unassigned","name":"Triage","team":"North"}'
    for decode in (decode_rep, decode_message):
        with pytest.raises(BadRecord, match="stands for nobody"):
            decode(raw)
