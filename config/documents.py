"""A TOML text as typed structs, with errors that name file, line, key, value and what is allowed."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from config.toml_lines import Path, TomlLines
from config.toml_text import parse_toml
from config.values import allowed, in_words
from schemas.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)

SHOWN_CHARACTERS = 80


class Document:
    """A TOML text by the name of its file."""

    def __init__(self, name: str, text: str) -> None:
        """Raises ConfigError for what is no TOML."""
        self._name = name
        try:
            self._root = parse_toml(text)
        except ValueError as error:
            raise ConfigError(f"{name}: is no TOML: {error}") from error
        self._lines = TomlLines(text)

    def read(self, kind: type[S]) -> S:
        """The whole document as a struct; raises ConfigError."""
        return self._table(self._root, kind, ())

    def error(self, path: Path, problem: str) -> ConfigError:
        """An error at a key, with its line and its value."""
        line = self._lines.line(path)
        place = self._name if line is None else f"{self._name}:{line}"
        return ConfigError(f"{place}: {dotted(path)}{_shown(self._value(path))}: {problem}")

    def unknown(self, path: Path, name: str, known: Collection[str]) -> ConfigError:
        """An error about a name that is not among those known."""
        return self.error(path, f"{name!r} is not known{hint(name, known)}; allowed: {', '.join(known) or 'none'}")

    def _value(self, path: Path) -> object:
        value: Any = self._root
        for part in path:
            inside = isinstance(value, Mapping) or (isinstance(part, int) and isinstance(value, list))
            value = value[part] if inside and (not isinstance(value, Mapping) or part in value) else None
        return value

    def _read(self, raw: object, kind: Any, path: Path) -> Any:
        inner = _without_none(kind)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            return self._table(raw, inner, path)
        if get_origin(inner) is dict:
            value_kind = get_args(inner)[1]
            return {key: self._read(value, value_kind, (*path, key)) for key, value in self._mapping(raw, path).items()}
        if get_origin(inner) is tuple and _is_struct(get_args(inner)[0]):
            return tuple(
                self._read(value, get_args(inner)[0], (*path, n)) for n, value in enumerate(self._list(raw, path))
            )
        try:
            return msgspec.convert(raw, inner)
        except msgspec.ValidationError as error:
            raise self.error(path, f"{in_words(error)}; allowed: {allowed(inner)}") from error

    def _table(self, raw: object, kind: type[S], path: Path) -> S:
        table = self._mapping(raw, path)
        kinds = get_type_hints(kind, include_extras=True)
        for key in table:
            if key not in kind.__struct_fields__:
                raise self.unknown((*path, key), key, kind.__struct_fields__)
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in table:
                raise self.error(
                    (*path, field.name), f"is missing; allowed: {_in_words(kinds[field.name], path, field.name)}"
                )
        return kind(**{key: self._read(value, kinds[key], (*path, key)) for key, value in table.items()})

    def _mapping(self, raw: object, path: Path) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise self.error(path, f"is no table; allowed: [{dotted(path)}] with its keys below it")
        return raw

    def _list(self, raw: object, path: Path) -> list[Any]:
        if not isinstance(raw, list):
            raise self.error(path, f"is no list of tables; allowed: [[{dotted(path)}]] with its keys below it")
        return raw


def dotted(path: Path) -> str:
    """A path as people write it: `levels[0].seconds`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def hint(name: str, known: Collection[str]) -> str:
    """The name that was probably meant, in words, or nothing."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _in_words(kind: Any, path: Path, name: str) -> str:
    """What a missing key may be."""
    if get_origin(kind) is Annotated:
        return allowed(kind)
    header = dotted((*path, name))
    return f"one or more [[{header}]]" if get_origin(kind) is tuple else f"[{header}] with its keys below it"


def _without_none(kind: Any) -> Any:
    if isinstance(kind, UnionType) or get_origin(kind) not in (None, Annotated, dict, tuple):
        return next((part for part in get_args(kind) if part is not type(None)), kind)
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _shown(value: object) -> str:
    """A short value as TOML has it; a table stands below its own header and needs no repeating."""
    if (
        value is None
        or isinstance(value, dict)
        or (isinstance(value, list) and any(isinstance(v, dict) for v in value))
    ):
        return ""
    text = repr(value) if isinstance(value, str | int | float | list) and not isinstance(value, bool) else str(value)
    return f" = {text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 3] + '...'}"
