"""What a query asks for: its selectors, functions and the labels that it leaves, read from its syntax tree."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser as pp

from grafana import build

Json = dict[str, Any]
BOARDS: dict[str, Json] = {f"{path.parent.name}/{path.stem}": json.loads(text) for path, text in build.files().items()}


@dataclass(frozen=True)
class Selector:
    """One selector of a query."""

    name: str
    labels: frozenset[str]
    is_range: bool


def parse(expression: str) -> pp.Expr:
    """The syntax tree, with a stand-in for the durations that Grafana fills in; ValueError when it is no PromQL."""
    return pp.parse(re.sub(r"\$__(rate_interval|range)", "5m", expression))


def nodes(expression: str) -> list[pp.Expr]:
    """All nodes of the syntax tree."""
    found: list[pp.Expr] = []

    def visit(node: pp.Expr) -> None:
        found.append(node)

    pp.walk(parse(expression), visit)
    return found


def selectors(expression: str) -> Iterator[Selector]:
    """All selectors of a query."""
    every = iter(nodes(expression))
    for node in every:
        match node:
            case pp.MatrixSelector():
                yield _selector(node.vector_selector, is_range=True)
                next(every)  # the same selector again, without its range
            case pp.VectorSelector():
                yield _selector(node, is_range=False)


def grouped_by(expression: str) -> set[str]:
    """All labels that aggregations and matchings of a query name."""
    modifiers = [node.modifier for node in nodes(expression) if isinstance(node, pp.AggregateExpr) and node.modifier]
    return {label for modifier in modifiers for label in modifier.labels}


def panels(board: Json) -> list[Json]:
    """All panels but headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: Json) -> list[str]:
    """All queries of the panels."""
    return [target["expr"] for panel in panels(board) for target in panel["targets"]]


def _selector(selector: pp.VectorSelector, *, is_range: bool) -> Selector:
    labels = frozenset(matcher.name for matcher in selector.matchers.matchers)
    return Selector(selector.name or "", labels, is_range)
