"""The generated JSON Schemas are current, and say what the decoder does."""

from pathlib import Path

import msgspec
import pytest
from jsonschema import Draft202012Validator

from processors.tools.json_schemas import schema_files, stale
from tests.schemas.test_events import GOLDEN

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


def test_a_missing_and_a_foreign_file_are_stale(tmp_path: Path) -> None:
    (tmp_path / "foreign.schema.json").write_text("{}")
    assert stale(tmp_path) == sorted([*schema_files(), "foreign.schema.json"])
