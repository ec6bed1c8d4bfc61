"""`python -m docs.build [--check]` writes what is generated here.

`semantics.md` comes from the rule table and the tests that cite each rule, `openapi.json` from the shapes of the API.
"""

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from docs.compact_json import compact
from processors.board.api.openapi import document

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "semantics.toml"
PAGE = ROOT / "docs" / "semantics.md"
OPENAPI = ROOT / "docs" / "openapi.json"

INTRODUCTION = """# What every number means

<!-- Generated from semantics.toml and the tests by `make docs`: do not edit. -->

Each rule exists because some product in use gets it wrong. A rule's tests begin with its number; `make check`
refuses a rule without a test.
"""
CASES = """## Cases that real products fail

Those under `tests/oracle` are put to the core and to an [independent computation](../tests/oracle/README.md) in SQL.
"""


def page() -> str:
    """The page as it should be."""
    tests, table = tests_by_rule(), tomllib.loads(TABLE.read_text())
    parts = [INTRODUCTION]
    for section in table["section"]:
        parts.append(f"## {section['title']}\n")
        parts += [_rule(rule, tests.get(rule["id"], [])) for rule in section["rule"]]
    return "\n".join([*parts, CASES, *_cases(table["case"])])


def unheld() -> list[str]:
    """The rules and cases that no test holds."""
    tests, table = tests_by_rule(), tomllib.loads(TABLE.read_text())
    names = {name for path in _test_files() for name in _functions(path)}
    cases = [f"case {number}" for number, case in enumerate(table["case"], 1) if case["test"] not in names]
    return [rule for rule in rule_ids() if rule not in tests] + cases


def rule_ids() -> list[str]:
    """All rules, in order."""
    return [rule["id"] for section in tomllib.loads(TABLE.read_text())["section"] for rule in section["rule"]]


def tests_by_rule() -> dict[str, list[str]]:
    """Rule to the tests that cite it in their name, as `file::test`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in _test_files():
        for name in _functions(path):
            for rule in rule_ids():
                if f"_{rule.lower()}_" in f"{name}_":
                    found[rule].append(f"{path.relative_to(ROOT)}::{name}")
    return found


def _test_files() -> list[Path]:
    return sorted((ROOT / "tests").rglob("test_*.py"))


def _cases(cases: list[dict[str, str]]) -> Iterator[str]:
    where = {name: path.relative_to(ROOT) for path in _test_files() for name in _functions(path)}
    for number, case in enumerate(cases, 1):
        yield f"{number}. {case['text']} `{where.get(case['test'], '?')}::{case['test']}`"
    yield ""


def _functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def _rule(rule: dict[str, str], tests: list[str]) -> str:
    held = "\n".join(f"- `{test}`" for test in tests)
    return f"### {rule['id']} {rule['name']}\n\n{rule['text']}\n\n> {rule['example']}\n\nHeld by\n\n{held}\n"


def files() -> dict[Path, str]:
    """Every generated file of this directory as it should be."""
    description: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document()))
    return {PAGE: page(), OPENAPI: compact(description, opened={"paths", "components"})}


def main() -> int:
    """Write the files, or with --check say which are not current."""
    missing = unheld()
    if missing:
        print(f"no test holds {', '.join(missing)} of docs/semantics.toml", file=sys.stderr)  # noqa: T201 -- a command
        return 1
    wanted = files()
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if "--check" in sys.argv[1:]:
            print(f"docs/{path.name} is not current: run `make docs`", file=sys.stderr)  # noqa: T201 -- a command
        else:
            path.write_text(wanted[path], encoding="utf-8")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    raise SystemExit(main())
