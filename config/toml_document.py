"""A TOML file as typed structs: the one reader of settings, policies and mappings, with one grammar of errors.

`file:line: key = value: what is wrong; allowed: what fits`
"""

import re
import tomllib
from collections.abc import Collection, Mapping
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from config.toml_lines import KeyPath, TomlLines
from config.values import allowed, from_file, is_secret, problem_with
from schemas.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)

MAX_SHOWN_CHARACTERS = 80
HIDDEN = "***"


class TomlDocument:
    """A parsed TOML text that knows the line of each key."""

    def __init__(self, name: str, text: str, directory: Path | None = None) -> None:
        """`name` is what errors call it; relative paths in it start at `directory`. Raises ConfigError for no TOML."""
        self._name = name
        self._directory = Path.cwd() if directory is None else directory
        self._root = _parsed(name, text)
        self._lines = TomlLines(text)

    @classmethod
    def load(cls, path: Path) -> "TomlDocument":
        """Read a file. Raises ConfigError when it cannot be read, or is no TOML."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read ({error}); allowed: a readable TOML file") from error
        return cls(str(path), text, path.resolve().parent)

    def read(self, kind: type[S]) -> S:
        """The whole document as a struct; raises ConfigError."""
        return self._struct(self._root, kind, ())

    def position(self, path: KeyPath) -> str:
        """File and line of a key, or of the nearest table around it."""
        line = self._lines.line(path)
        return self._name if line is None else f"{self._name}:{line}"

    def error(self, path: KeyPath, problem: str, *, hidden: bool = False) -> ConfigError:
        """An error at a key, with its line and, unless it must stay hidden, its value."""
        value = shown(self._value(path))
        if hidden and value:
            value = HIDDEN
        return ConfigError(f"{self.position(path)}: {dotted(path)}{f' = {value}' if value else ''}: {problem}")

    def unknown(self, path: KeyPath, name: str, known: Collection[str], *, hidden: bool = False) -> ConfigError:
        """An error about a name that is not among those known."""
        return self.error(path, unknown_name(name, known), hidden=hidden)

    def _value(self, path: KeyPath) -> object:
        value: Any = self._root
        for part in path:
            inside = isinstance(value, Mapping) or (isinstance(part, int) and isinstance(value, list))
            value = value[part] if inside and (not isinstance(value, Mapping) or part in value) else None
        return value

    def _convert(self, raw: object, kind: Any, path: KeyPath) -> Any:
        if is_secret(kind):
            problem = f"a secret does not belong in this file; allowed: {dotted(path)}_file, or an environment variable"
            raise self.error(path, problem, hidden=True)
        inner = _without_none(kind)
        if _is_struct(inner):
            return self._struct(raw, inner, path)
        if get_origin(inner) is dict:
            table, value_kind = self._table(raw, path), get_args(inner)[1]
            return {key: self._convert(value, value_kind, (*path, key)) for key, value in table.items()}
        if get_origin(inner) is tuple and _is_struct(get_args(inner)[0]):
            items, item_kind = self._tables(raw, path), get_args(inner)[0]
            return tuple(self._convert(value, item_kind, (*path, number)) for number, value in enumerate(items))
        try:
            return from_file(raw, inner, self._directory)
        except msgspec.ValidationError as error:
            raise self.error(path, f"{problem_with(error)}; allowed: {allowed(inner)}") from error

    def _struct(self, raw: object, kind: type[S], path: KeyPath) -> S:
        table = self._table(raw, path)
        kinds = get_type_hints(kind, include_extras=True)
        for key in table:
            if key not in kind.__struct_fields__:
                # A secret under a misspelt key is still a secret.
                raise self.unknown((*path, key), key, kind.__struct_fields__, hidden=_has_secrets(kind))
        for field in msgspec.structs.fields(kind):
            if field.required and field.name not in table:
                missing = (*path, field.name)
                raise self.error(missing, f"is missing; allowed: {_allowed_at(kinds[field.name], missing)}")
        return kind(**{key: self._convert(value, kinds[key], (*path, key)) for key, value in table.items()})

    def _table(self, raw: object, path: KeyPath) -> dict[str, Any]:
        if not isinstance(raw, dict):
            raise self.error(path, f"is no table; allowed: [{dotted(path)}] with its keys below it")
        return raw

    def _tables(self, raw: object, path: KeyPath) -> list[Any]:
        if not isinstance(raw, list):
            raise self.error(path, f"is no list of tables; allowed: [[{dotted(path)}]] with its keys below it")
        return raw


def dotted(path: KeyPath) -> str:
    """A path as people write it: `levels[0].seconds`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def hint(name: str, known: Collection[str]) -> str:
    """` (did you mean x?)`, or nothing."""
    close = get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def unknown_name(name: str, known: Collection[str]) -> str:
    """What is wrong with a name that is not among those known, and which are."""
    return f"{name!r} is not known{hint(name, known)}; allowed: {', '.join(known) or 'none'}"


def shown(value: object) -> str:
    """A short value as TOML has it, without passwords of URLs; empty for a table, which stands below its own header."""
    match value:
        case None | dict():
            return ""
        case list() if any(isinstance(item, dict) for item in value):
            return ""
        case date() | time():
            text = value.isoformat()
        case _:
            text = repr(value)
    if "://" in text:
        text = re.sub(r"//[^/@]*@", f"//{HIDDEN}@", re.sub(r"\?[^']*", f"?{HIDDEN}", text))
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 3] + "..."


def _parsed(name: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{name}: is no TOML: tables or lists are nested too deep") from error
    except ValueError as error:  # also of numbers of thousands of digits
        raise ConfigError(f"{name}: is no TOML: {error}") from error


def _allowed_at(kind: Any, path: KeyPath) -> str:
    """What a missing key may be."""
    if get_origin(kind) is Annotated:
        return allowed(kind)
    return (
        f"one or more [[{dotted(path)}]]" if get_origin(kind) is tuple else f"[{dotted(path)}] with its keys below it"
    )


def _without_none(kind: Any) -> Any:
    if isinstance(kind, UnionType) or get_origin(kind) is Union:
        return next(part for part in get_args(kind) if part is not NoneType)
    return kind


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _has_secrets(kind: type[msgspec.Struct]) -> bool:
    kinds = get_type_hints(kind, include_extras=True).values()
    return any(is_secret(part) or (_is_struct(part) and _has_secrets(part)) for part in kinds)
