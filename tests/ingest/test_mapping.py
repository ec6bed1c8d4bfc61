"""What a mapping may contain, and the errors for mistakes in it."""

from pathlib import Path

import pytest

from processors.ingest.mapping import load_mapping
from processors.ingest.templates import Template, TemplateError
from schemas.errors import ConfigError

MAPPINGS = Path("config/mappings")

GOOD = """
source = "crm"
identity = ["id"]
[columns.day]
kind = "date"
zone = "UTC"
[columns.status]
missing = { fallback = "{id}" }
[[events]]
name = "created"
type = "opportunity.created"
[events.fields]
occurred_at = "{day}"
customer_id = "{account}"
opportunity_id = "{id}"
rep_id = "{owner}"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "m.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_mapping_knows_every_column_that_a_file_must_have(tmp_path: Path) -> None:
    assert load_mapping(write(tmp_path, GOOD)).needed_columns() == {"id", "day", "account", "owner", "status"}


@pytest.mark.parametrize("name", ["maven-crm.toml", "maven-crm-reps.toml"])
def test_the_shipped_mappings_are_good(name: str) -> None:
    assert load_mapping(MAPPINGS / name).events


def test_the_template_of_the_readme_is_good(tmp_path: Path) -> None:
    text = (MAPPINGS / "README.md").read_text(encoding="utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    assert [rule.name for rule in load_mapping(write(tmp_path, example)).events] == ["created", "won"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'source = "crm"',
            'sauce = "crm"',
            r":2: sauce = 'crm': 'sauce' is not known \(did you mean source\?\); allowed: source",
        ),
        (
            'identity = ["id"]',
            "identity = []",
            r":3: identity = \[\]: Expected array of length >= 1; allowed: a list of one or more columns",
        ),
        ('kind = "date"', 'kind = "day"', r":5: columns.day.kind = 'day': .*; allowed: one of text, date"),
        (
            'zone = "UTC"',
            'zone = "Mars/Base"',
            r":6: columns.day.zone = 'Mars/Base': is no time zone; allowed: an IANA",
        ),
        ('zone = "UTC"', "", r":4: columns.day.zone: is missing: whose midnight"),
        (
            'type = "opportunity.created"',
            'type = "opportunity.made"',
            r":11: events\[0\].type = 'opportunity.made': .* allowed: activity",
        ),
        ('rep_id = "{owner}"', "", r":12: events\[0\].fields.rep_id: is missing, and opportunity.created needs it"),
        ('rep_id = "{owner}"', 'rep_id = "{owner}"\nmood = "fine"', r"opportunity.created has no field 'mood'"),
        ('rep_id = "{owner}"', 'rep_id = "{owner}"\nevent_id = "{id}"', r"has no field 'event_id' to fill"),
        (
            'rep_id = "{owner}"',
            'rep_id = "{owner"',
            r":16: events\[0\].fields.rep_id = '\{owner': a brace stands alone",
        ),
        (
            'fallback = "{id}"',
            'fallback = "{status}"',
            r":8: columns.status.missing.fallback = '\{status\}': uses 'status'",
        ),
        (
            'occurred_at = "{day}"',
            'occurred_at = "{id}"',
            r":13: events\[0\].fields.occurred_at = '\{id\}': .* allowed: one column of kind date or instant",
        ),
        ('occurred_at = "{day}"', 'occurred_at = "2026-01-31"', r"occurred_at = '2026-01-31'"),
        ('occurred_at = "{day}"', "occurred_at = 43100", r"occurred_at = 43100"),
        ("[columns.day]", '[file]\nencoding = "utf-9"\n[columns.day]', r":5: file.encoding = 'utf-9': is no encoding"),
        ("[columns.day]", '[file]\ndelimiter = "::"\n[columns.day]', r":5: file.delimiter = '::': Expected `?str"),
        (
            "[columns.day]",
            '[columns.sum]\ngroup = "."\n[columns.day]',
            r":5: columns.sum.group = '.': .*; allowed: two different marks",
        ),
        (
            "[columns.day]",
            '[columns.sum]\ndecimal = "0"\n[columns.day]',
            r":5: columns.sum.decimal = '0': is a digit or a sign",
        ),
        ("[[events]]", "[[events]", r"is no TOML"),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=message) as caught:
        load_mapping(write(tmp_path, GOOD.replace(old, new)))
    assert str(caught.value).startswith(f"{tmp_path / 'm.toml'}:")


ZONED = GOOD.replace('kind = "date"', 'kind = "instant"\nformat = "%Y-%m-%d %H:%M %Z"')


@pytest.mark.parametrize("zone", ["UTC", "GMT"])
def test_a_zones_name_in_cells_may_be_read_where_it_means_utc(tmp_path: Path, zone: str) -> None:
    assert load_mapping(write(tmp_path, ZONED.replace('zone = "UTC"', f'zone = "{zone}"'))).events
    assert load_mapping(write(tmp_path, ZONED.replace('zone = "UTC"', ""))).events


def test_a_zones_name_in_cells_of_a_column_of_another_zone_is_refused_with_line_key_and_mend(tmp_path: Path) -> None:
    path = write(tmp_path, ZONED.replace('zone = "UTC"', 'zone = "America/New_York"'))
    with pytest.raises(ConfigError) as caught:
        load_mapping(path)
    assert str(caught.value).startswith(f"{path}:6: columns.day.format = '%Y-%m-%d %H:%M %Z': %Z ")
    assert "; allowed: zone = 'UTC' if all cells say so" in str(caught.value)


@pytest.mark.parametrize("letters", ["%%Z", "%z (%Z)"])
def test_what_only_looks_like_a_zones_name_or_comes_with_its_offset_is_no_matter(tmp_path: Path, letters: str) -> None:
    text = ZONED.replace('zone = "UTC"', 'zone = "America/New_York"').replace("%Z", letters)
    assert load_mapping(write(tmp_path, text)).events


def test_two_rules_of_one_name_are_refused(tmp_path: Path) -> None:
    rule = GOOD[GOOD.index("[[events]]") :]
    with pytest.raises(ConfigError, match="several rules have this name"):
        load_mapping(write(tmp_path, GOOD + rule))


def test_an_absent_mapping_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: cannot be read"):
        load_mapping(tmp_path / "none.toml")


def fill(text: str, **cells: str) -> str | None:
    def needed(column: str) -> str:
        if not cells[column]:
            raise LookupError(column)
        return cells[column]

    return Template(text).fill(cells.__getitem__, needed)


def test_templates_fill_columns_between_texts_and_double_braces_are_one() -> None:
    assert fill("a {b} {{c}} {d e}", b="1", **{"d e": "2"}) == "a 1 {c} 2"
    assert fill("plain") == "plain"
    assert fill("") == ""


def test_an_empty_optional_column_leaves_no_text_and_a_needed_one_is_missed() -> None:
    assert fill("x{b?}", b="") is None
    assert fill("x{b?}", b="1") == "x1"
    with pytest.raises(LookupError):
        fill("x{b}", b="")


@pytest.mark.parametrize("text", ["{", "a}b", "{}", "{ }", "{?}", "{a{b}}"])
def test_lonely_braces_are_refused(text: str) -> None:
    with pytest.raises(TemplateError, match="a brace stands alone"):
        Template(text)


def test_a_template_that_is_one_column_knows_it() -> None:
    assert Template("{day}").sole == "day"
    assert Template("{day} ").sole is None
    assert Template("{a}{b}").columns == ("a", "b")
