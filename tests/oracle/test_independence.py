"""The oracle would prove nothing if it asked the core."""

import ast
from pathlib import Path

from tests.oracle import oracle

ALLOWED = {"collections", "contextlib", "datetime", "decimal", "duckdb", "pathlib", "typing"}


def test_the_oracle_imports_nothing_of_the_project() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} <= ALLOWED
