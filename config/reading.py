"""Settings from a TOML file and from the environment; errors name place, key, value and what is allowed."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from datetime import time as clock_time
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from config.toml_text import parse_toml
from config.values import allowed, from_environment, from_file, in_words, is_secret
from schemas.errors import ConfigError

PREFIX = "SALESPULSE_"
SERVICE_LINK = "tcp://"
"""Kubernetes gives every pod variables like SALESPULSE_BOARD_PORT=tcp://10.0.0.1:80, which are not meant for us."""

Kinds = Mapping[str, Any]
"""Name to type: the sections of all settings, or the keys of one section."""


def variable(section: str, key: str) -> str:
    """The environment variable that overrides a key."""
    return f"{PREFIX}{section}__{key}".upper()


def read_file(path: Path, model: type[msgspec.Struct]) -> dict[str, dict[str, Any]]:
    """The values that a TOML file gives, by section and key; raises ConfigError."""
    try:
        document = parse_toml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); allowed is a readable TOML file") from error
    except ValueError as error:
        raise ConfigError(f"{path}: is no TOML: {error}") from error
    return {name: _read_section(path, name, keys, _kinds(model)) for name, keys in document.items()}


def read_environment(env: Mapping[str, str], model: type[msgspec.Struct]) -> Iterator[tuple[str, str, Any]]:
    """Section, key and value of every variable `SALESPULSE_<SECTION>__<KEY>` that is not empty; raises ConfigError."""
    almost = {variable(section, key).replace("__", "_"): (section, key) for section, key in _keys(model)}
    for name, raw in env.items():
        if name in almost and not raw.startswith(SERVICE_LINK):
            raise ConfigError(f"environment: {name} is not read; allowed is {variable(*almost[name])}")
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and separator and raw:
            place = f"environment: {name}"
            kind = _known(key, _kinds(_known(section, _kinds(model), place)), place)
            yield section, key, _value(place, raw, kind, from_environment)


def _read_section(path: Path, name: str, keys: object, sections: Kinds) -> dict[str, Any]:
    kinds = _kinds(_known(name, sections, f"{path}: [{name}]"))
    if not isinstance(keys, dict):
        raise ConfigError(f"{path}: {name} = {keys!r} is no section; allowed is [{name}] with its keys below it")
    return {key: _read_key(path, f"{name}.{key}", value, kinds) for key, value in keys.items()}


def _read_key(path: Path, dotted: str, raw: object, kinds: Kinds) -> Any:
    section, key = dotted.split(".", 1)
    kind = _known(key, kinds, f"{path}: {dotted}")
    if is_secret(kind):
        raise ConfigError(
            f"{path}: {dotted} = ***: a secret has no place in a settings file; "
            f"allowed are {dotted}_file and the variable {variable(section, key)}",
        )
    return _value(f"{path}: {dotted}", raw, kind, partial(from_file, directory=path.resolve().parent))


def _value(place: str, raw: Any, kind: Any, convert: Callable[[Any, Any], Any]) -> Any:
    try:
        return convert(raw, kind)
    except msgspec.ValidationError as error:
        shown = "***" if is_secret(kind) else re.sub(r"//[^/@]*@", "//***@", re.sub(r"\?[^']*", "?***", _written(raw)))
        raise ConfigError(f"{place} = {shown}: {in_words(error)}; allowed is {allowed(kind)}") from error


def _written(raw: object) -> str:
    """A value as a file has it, nearly: texts with their quotes, instants without Python's words around them."""
    return raw.isoformat() if isinstance(raw, date | clock_time) else repr(raw)


def _kinds(model: type[msgspec.Struct]) -> Kinds:
    hints = get_type_hints(model, include_extras=True)
    return {name: hints[name] for name in model.__struct_fields__}


def _keys(model: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    return ((section, key) for section, kind in _kinds(model).items() for key in kind.__struct_fields__)


def _known(name: str, known: Kinds, place: str) -> Any:
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise ConfigError(f"{place}: {name} is not known{hint}; allowed are {', '.join(known)}")
    return known[name]
