"""A customer has one writer for each field."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

CORE = Path(__file__).parents[3] / "processors" / "core"
CHANGES = frozenset({"add", "append", "clear", "discard", "extend", "insert", "pop", "remove", "setdefault", "update"})
"""Methods that change a collection."""


def test_each_field_of_a_customer_has_one_writer() -> None:
    writers: dict[str, set[str]] = defaultdict(set)
    for path in CORE.rglob("*.py"):
        for field in changed(ast.parse(path.read_text(encoding="utf-8"))):
            writers[field].add(path.stem)
    assert {field: sorted(names) for field, names in writers.items() if len(names) > 1} == {}
    assert fields() - {"customer_id"} <= writers.keys(), "the test sees every field being written"


def fields() -> set[str]:
    """The fields of a customer, from the source: compiled, the class has no `__slots__`."""
    tree = ast.parse((CORE / "state" / "customers.py").read_text(encoding="utf-8"))
    targets = (node.target if isinstance(node, ast.AnnAssign) else node.targets[0] for node in assignments(tree))
    return {target.attr for target in targets if isinstance(target, ast.Attribute)}


def assignments(tree: ast.Module) -> Iterator[ast.Assign | ast.AnnAssign]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign))


def changed(tree: ast.Module) -> Iterator[str]:
    """The fields of a variable named `customer` that a module assigns, or changes in place."""
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets):
                yield from (field for target in targets for field in assigned(target))
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                yield from assigned(target)
            case ast.Delete(targets=targets):
                yield from (field for target in targets for field in assigned(target))
            case ast.Call(func=ast.Attribute(value=changed_value, attr=method)) if method in CHANGES:
                yield from assigned(changed_value)
            case ast.Call(func=ast.Name(id="bump" | "insort"), args=[first, *_]):
                yield from assigned(first)
            case _:
                continue


def assigned(target: ast.expr) -> Iterator[str]:
    match target:
        case ast.Attribute(value=ast.Name(id="customer"), attr=field):
            yield field
        case ast.Subscript(value=value):
            yield from assigned(value)
        case ast.Tuple(elts=parts):
            for part in parts:
                yield from assigned(part)
        case _:
            return
