"""Texts with columns to fill in: `{column}` must have a value; an empty `{column?}` leaves no text at all."""

import re
from collections.abc import Callable

_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


class TemplateError(ValueError):
    """A text whose braces do not fit together."""


class Template:
    """A compiled text. `columns` are those it needs, in order; `sole` is the column that is all of it, if one is."""

    __slots__ = ("_parts", "columns", "sole")

    def __init__(self, text: str) -> None:
        """Raises TemplateError."""
        self._parts = _parse(text)
        self.columns = tuple(column for _, column, _ in self._parts if column is not None)
        self.sole = self.columns[0] if len(self._parts) == 1 and self.columns else None

    def fill(self, cell: Callable[[str], str], needed: Callable[[str], str]) -> str | None:
        """The text, with `cell` for columns that may be empty and `needed` for others; None: one was empty."""
        filled = []
        for literal, column, optional in self._parts:
            if column is None:
                filled.append(literal)
                continue
            value = cell(column) if optional else needed(column)
            if not value:
                return None
            filled.append(value)
        return "".join(filled)


def _parse(text: str) -> list[tuple[str, str | None, bool]]:
    """(literal, column, whether the column may be empty): a part has either a literal or a column."""
    parts: list[tuple[str, str | None, bool]] = []
    end = 0
    for match in _PLACE.finditer(text):
        _literal(parts, text[end : match.start()])
        end = match.end()
        if match[0] in ("{{", "}}"):
            _literal(parts, match[0][0])
        elif match[1] is None or not match[1].strip("? "):
            raise TemplateError("a brace stands alone; write {column}, or {{ for a brace itself")
        else:
            parts.append(("", match[1].removesuffix("?").strip(), match[1].endswith("?")))
    _literal(parts, text[end:])
    return parts


def _literal(parts: list[tuple[str, str | None, bool]], text: str) -> None:
    if text:
        parts.append((text, None, False))
