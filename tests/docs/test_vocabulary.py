"""One word, one thing: docs/glossary.md has the vocabulary, and the source keeps to it."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = [path for package in ("processors", "schemas", "config") for path in sorted((ROOT / package).rglob("*.py"))]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")

TO_RENAME = frozenset(
    {
        "Clock",
        "Column",
        "Comparison",
        "Connection",
        "Customer",
        "Days",
        "DeadLetters",
        "Delivery",
        "Desk",
        "Difference",
        "Feed",
        "Given",
        "Hold",
        "Mark",
        "Message",
        "Numbers",
        "Opportunity",
        "Outcome",
        "Pace",
        "Page",
        "Part",
        "Publication",
        "ReadModel",
        "Refused",
        "Rep",
        "Row",
        "Segment",
        "Shard",
        "Source",
        "Taken",
        "Takeover",
        "Team",
        "View",
        "Waiting",
        "Word",
        "batches",
        "customers",
        "directory",
        "faults",
        "feed",
        "holds",
        "native",
        "outgoing",
        "read_model",
        "scrape",
        "views",
        "waiting",
        "words",
    }
)
"""Names that still stand for two things: the list only shrinks."""
SHARED_MODULES: Mapping[str, str] = {
    "main": "each service has an entry point, named by its package",
    "app": "each service is composed in one module, named by its package",
    "metrics": "each service has instruments of its own, named by its package",
    "alerts": "the wire form in schemas, the state machine in core",
    "backtest": "the command prints the report of the same name",
    "explain": "the command prints the report of the same name",
    "replay": "the command prints the report of the same name",
    "dead_letters": "workers write them, the command reads them",
}
PRIVATE_WORDS = frozenset(
    {"told", "said", "spoken", "saying", "desk", "desks", "habits", "parcel", "teller", "hearing"}
)
"""Words that the project once used in a sense of its own; the glossary has the field's words for them."""
OLD_IDENTIFIERS = frozenset(
    {
        "DESK",
        "Desk",
        "Desks",
        "Habits",
        "Hearing",
        "Parcel",
        "Saying",
        "TOLD_EVERY",
        "Teller",
        "Told",
        "ToldLog",
        "_desk",
        "_desk_fields",
        "_desks",
        "_habits",
        "_is_said",
        "_said",
        "_spoken",
        "_teller",
        "_told",
        "desk",
        "desks",
        "habits",
        "hearing",
        "parcel",
        "said",
        "saying",
        "spoken",
        "teller",
        "told",
        "told_at",
        "told_here",
    }
)
"""Identifiers that still use them: the list only shrinks."""


def classes() -> Iterator[tuple[str, Path]]:
    """Every class at the top of a module; a private one is its module's own affair."""
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, path


def shared(named: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """Names that stand for more than one thing, with their files."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, path in named:
        found[name].append(str(path.relative_to(ROOT)))
    return {name: sorted(paths) for name, paths in found.items() if len(paths) > 1}


@cache
def identifiers() -> set[str]:
    """Names of modules, classes, functions, parameters, attributes and variables that the source defines."""
    found = {path.stem for path in SOURCES}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    found.add(name)
                case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                    found.add(name)
                case _:
                    pass
    return found


def words(identifier: str) -> set[str]:
    """The words of a name, in whichever case it is written."""
    return {part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", identifier)}


def test_no_two_classes_share_a_name() -> None:
    found = {name: paths for name, paths in shared(classes()).items() if name not in TO_RENAME}
    assert found == {}


def test_no_two_modules_share_a_name() -> None:
    named = ((path.stem, path) for path in SOURCES if not path.stem.startswith("__"))
    found = {name: paths for name, paths in shared(named).items() if name not in TO_RENAME | SHARED_MODULES.keys()}
    assert found == {}


def test_identifiers_use_the_words_of_the_field() -> None:
    old = {name for name in identifiers() if words(name) & PRIVATE_WORDS}
    assert old - OLD_IDENTIFIERS == set()


@pytest.mark.parametrize(
    ("name", "parts"), [("told_by", {"told", "by"}), ("ToldLog", {"told", "log"}), ("MAX_DESK", {"max", "desk"})]
)
def test_a_name_is_read_word_by_word(name: str, parts: set[str]) -> None:
    assert words(name) == parts


def test_the_glossary_has_each_term_once_in_two_sentences() -> None:
    terms = re.findall(r"^\*\*([^*]+)\*\* - (.+?)$", GLOSSARY, re.MULTILINE)
    names = [name for name, _ in terms]
    assert len(names) == len(set(names))
    assert 20 <= len(names) <= 35
    assert {name: text for name, text in terms if len(re.findall(r"[.](?= |$)", text)) != 2} == {}
