"""Settings as the text of a TOML file, from which `load_settings` reads them again."""

import json
from collections.abc import Iterator
from datetime import datetime

import msgspec

from config.settings import Settings
from config.values import is_secret


def as_toml(settings: Settings) -> str:
    """What differs from the defaults, without secrets, which do not belong in a file."""
    sections = ((section.name, getattr(settings, section.name)) for section in msgspec.structs.fields(Settings))
    return "\n".join(f"[{name}]\n{''.join(lines)}" for name, section in sections if (lines := list(_lines(section))))


def toml_value(value: object) -> str:
    """One value as TOML writes it."""
    match value:
        case tuple():
            return f"[{', '.join(map(toml_value, value))}]"
        case datetime() | int() | float():
            return value.isoformat() if isinstance(value, datetime) else str(value)
        case _:
            return json.dumps(str(value), ensure_ascii=False)


def _lines(section: msgspec.Struct) -> Iterator[str]:
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        if value != field.default and not is_secret(field.type):
            yield f"{field.name} = {toml_value(value)}\n"
