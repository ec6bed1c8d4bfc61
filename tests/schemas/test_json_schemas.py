"""The generated JSON Schemas are current, and say what the decoder does."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from processors.commands.json_schemas import schema_files, stale
from processors.core.state.money import cents
from processors.core.time.instants import DAY_US
from processors.ingest.simulator.simulator import Simulator
from schemas.codec import decode_event, decode_rep, encode
from schemas.errors import BadRecord
from schemas.events import AMOUNT_PATTERN, CustomerRevenue
from tests.schemas.test_events import GOLDEN

ENOUGH = 20
"""Events of a type: enough for each of its optional fields to be there and to be missing."""
DIRECTORY = Path(__file__).parents[2] / "schemas" / "json"


def test_the_committed_files_are_what_the_structs_say() -> None:
    assert stale(DIRECTORY) == []


@pytest.mark.parametrize("name", sorted(schema_files()))
def test_each_file_is_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(msgspec.json.decode(schema_files()[name]))


def test_golden_events_are_valid_and_a_naive_type_is_not() -> None:
    validator = Draft202012Validator(msgspec.json.decode(schema_files()["event.schema.json"]))
    for raw, _ in GOLDEN:
        validator.validate(msgspec.json.decode(raw))
    assert not validator.is_valid({"type": "request.exploded"})


def test_simulated_events_of_every_type_are_valid() -> None:
    validators = {name: Draft202012Validator(msgspec.json.decode(raw)) for name, raw in schema_files().items()}
    simulator, seen = Simulator(1, 20_500 * DAY_US, reps=4), Counter[str]()
    for message in (*simulator.directory(), *simulator.events(20_600 * DAY_US)):
        kind = message.__struct_config__.tag
        seen[str(kind)] += 1
        if seen[str(kind)] <= ENOUGH:
            validators[f"{kind}.schema.json"].validate(msgspec.json.decode(encode(message)))
    assert {f"{kind}.schema.json" for kind in seen} == validators.keys() - {
        "event.schema.json",
        "alert.transition.schema.json",
    }


def amount_of(revenue: dict[str, object]) -> int:
    event = decode_event(msgspec.json.encode(revenue))
    assert isinstance(event, CustomerRevenue)
    return cents(event.amount)


@pytest.mark.parametrize(
    "change",
    [
        {"occurred_at": "2026-03-02T09:00:00"},
        {"occurred_at": "yesterday"},
        {"event_id": ""},
        {"event_id": "e" * 129},
        {"customer_id": None},
        {"amount": "1.234"},
        {"amount": "much"},
        {"amount": True},
        {"amount": [1]},
        {"amount": "1_0"},
        {"amount": " 10 "},
        {"amount": "\u0661\u0662"},
        {"amount": "1e2"},
        {"amount": "+5"},
        {"amount": ".5"},
        {"amount": "5."},
        {"amount": "1.000"},
        {"amount": "1000000000000.01"},
        {"amount": "10000000000000"},
        {"amount": "NaN"},
        {"amount": -1000000000000.5},
    ],
)
def test_what_the_decoder_refuses_the_schema_refuses_too(change: dict[str, object]) -> None:
    good = {"event_id": "e", "occurred_at": "2026-03-02T09:00:00Z", "customer_id": "c", "amount": "-1.23"}
    validator = Draft202012Validator(msgspec.json.decode(schema_files()["customer.revenue.schema.json"]))
    for right in (
        {},
        {"amount": 1.23},
        {"amount": 5},
        {"amount": 1e2},
        {"amount": "007"},
        {"occurred_at": "2026-03-02T09:00:00.5+02:00"},
    ):
        event = {"type": "customer.revenue", **good, **right}
        validator.validate(event)
        amount_of(event)
    wrong = {"type": "customer.revenue", **good, **change}
    assert not validator.is_valid(wrong)
    with pytest.raises(BadRecord):
        amount_of(wrong)


@pytest.mark.parametrize("rep_id", ["_unassigned", " ", "a\u0000b", "\u007f", "", "r" * 129])
def test_a_rep_id_that_the_decoder_refuses_the_schema_refuses_too(rep_id: str) -> None:
    validator = Draft202012Validator(msgspec.json.decode(schema_files()["rep.updated.schema.json"]))
    good = {"type": "rep.updated", "rep_id": "张 伟", "name": "Wei"}
    validator.validate(good)
    assert decode_rep(msgspec.json.encode(good)).rep_id == "张 伟"
    assert not validator.is_valid(good | {"rep_id": rep_id})
    with pytest.raises(BadRecord):
        decode_rep(msgspec.json.encode(good | {"rep_id": rep_id}))


@given(st.from_regex(AMOUNT_PATTERN, fullmatch=True) | st.text("0123456789.-+_eE \u0660NaNInfinity", max_size=16))
def test_texts_are_amounts_for_the_decoder_when_they_are_for_the_schema(text: str) -> None:
    schema = msgspec.json.decode(schema_files()["customer.revenue.schema.json"])
    wanted = {"event_id": "e", "occurred_at": "2026-03-02T09:00:00Z", "customer_id": "c"}
    event: dict[str, object] = {"type": "customer.revenue", **wanted, "amount": text}
    if Draft202012Validator(schema).is_valid(event):
        amount_of(event)
    else:
        with pytest.raises(BadRecord, match=r"no amount .* at `\$.amount`"):
            decode_event(msgspec.json.encode(event))


def test_a_missing_and_a_foreign_file_are_stale(tmp_path: Path) -> None:
    (tmp_path / "foreign.schema.json").write_text("{}")
    assert stale(tmp_path) == sorted([*schema_files(), "foreign.schema.json"])
