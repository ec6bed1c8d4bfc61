"""Write `semantics.md` from the rule table and the tests that cite each rule: `python -m docs.build [--check]`."""

import ast
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "semantics.toml"
PAGE = ROOT / "docs" / "semantics.md"

INTRODUCTION = """# What every number means

<!-- Generated from semantics.toml and the tests by `make docs`: do not edit. -->

Each rule exists because some product in use gets it wrong. A rule's tests begin with its number.
"""


def page() -> str:
    """The page as it should be."""
    tests = tests_by_rule()
    parts = [INTRODUCTION]
    for section in tomllib.loads(TABLE.read_text())["section"]:
        parts.append(f"## {section['title']}\n")
        parts += [_rule(rule, tests.get(rule["id"], [])) for rule in section["rule"]]
    return "\n".join(parts)


def rule_ids() -> list[str]:
    """All rules, in order."""
    return [rule["id"] for section in tomllib.loads(TABLE.read_text())["section"] for rule in section["rule"]]


def tests_by_rule() -> dict[str, list[str]]:
    """Rule to the tests that cite it in their name, as `file::test`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in _functions(path):
            for rule in rule_ids():
                if f"_{rule.lower()}_" in f"{name}_":
                    found[rule].append(f"{path.relative_to(ROOT)}::{name}")
    return found


def _functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node.name


def _rule(rule: dict[str, str], tests: list[str]) -> str:
    held = "\n".join(f"- `{test}`" for test in tests)
    return f"### {rule['id']} {rule['name']}\n\n{rule['text']}\n\n> {rule['example']}\n\nHeld by\n\n{held}\n"


def main() -> int:
    """Write the page, or with --check say whether it is current."""
    wanted = page()
    if "--check" in sys.argv[1:]:
        current = PAGE.exists() and PAGE.read_text() == wanted
        if not current:
            print("docs/semantics.md is not current: run `make docs`", file=sys.stderr)  # noqa: T201 -- a command
        return 0 if current else 1
    PAGE.write_text(wanted)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
