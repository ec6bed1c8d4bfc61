"""Settings in environment variables: `SALESPULSE_<SECTION>__<KEY>`."""

from collections.abc import Iterator, Mapping
from typing import Any, get_type_hints

import msgspec

from config.toml_document import HIDDEN, shown, unknown_name
from config.values import allowed, from_environment, is_secret, problem_with
from schemas.errors import ConfigError

PREFIX = "SALESPULSE_"
PLACE = "environment"
SERVICE_LINK = "tcp://"
"""Kubernetes gives every pod variables like SALESPULSE_BOARD_PORT=tcp://10.0.0.1:80, which are not meant for us."""

Kinds = Mapping[str, Any]
"""Name to type: the sections of all settings, or the keys of one section."""


def variable(section: str, key: str) -> str:
    """The environment variable that overrides a key."""
    return f"{PREFIX}{section}__{key}".upper()


def read_environment(env: Mapping[str, str], model: type[msgspec.Struct]) -> Iterator[tuple[str, str, Any]]:
    """Section, key and value of every variable of ours that is not empty; raises ConfigError."""
    almost = {variable(section, key).replace("__", "_"): (section, key) for section, key in _keys(model)}
    for name, raw in env.items():
        if name in almost and not raw.startswith(SERVICE_LINK):
            raise ConfigError(f"{PLACE}: {name} is not read; allowed: {variable(*almost[name])}")
        section, separator, key = name.removeprefix(PREFIX).lower().partition("__")
        if name.startswith(PREFIX) and separator and raw:
            kind = _known(name, key, _kinds(_known(name, section, _kinds(model))))
            yield section, key, _value(name, raw, kind)


def _value(name: str, raw: str, kind: Any) -> Any:
    try:
        return from_environment(raw, kind)
    except msgspec.ValidationError as error:
        value = HIDDEN if is_secret(kind) else shown(raw)
        raise ConfigError(f"{PLACE}: {name} = {value}: {problem_with(error)}; allowed: {allowed(kind)}") from error


def _kinds(model: type[msgspec.Struct]) -> Kinds:
    hints = get_type_hints(model, include_extras=True)
    return {name: hints[name] for name in model.__struct_fields__}


def _keys(model: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    return ((section, key) for section, kind in _kinds(model).items() for key in kind.__struct_fields__)


def _known(name: str, part: str, known: Kinds) -> Any:
    """The kind of a section or a key of a variable's name."""
    if part not in known:
        raise ConfigError(f"{PLACE}: {name}: {unknown_name(part, known)}")
    return known[part]
