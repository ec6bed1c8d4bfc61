"""The types of settings, each with a description of what is allowed."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta

MEBIBYTE = 1024 * 1024
MAX_DAYS = 36_500

Port = Annotated[int, Meta(ge=0, le=65535, description="a port from 1 to 65535, or 0 for any free one")]
Count = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
FetchBytes = Annotated[
    int, Meta(ge=MEBIBYTE, le=50 * MEBIBYTE, description="a number of bytes, from 1048576 (1 MiB) to 52428800 (50 MiB)")
]
BatchBytes = Annotated[
    int,
    Meta(ge=MEBIBYTE, le=1024 * MEBIBYTE, description="a number of bytes, from 1048576 (1 MiB) to 1073741824 (1 GiB)"),
]
Days = Annotated[int, Meta(ge=1, le=MAX_DAYS, description=f"a whole number of days from 1 to {MAX_DAYS}")]
Seconds = Annotated[float, Meta(gt=0, le=86_400, description="seconds, more than 0 and at most 86400")]
Speed = Annotated[float, Meta(gt=0, le=1_000_000, description="a factor, more than 0 and at most 1000000")]
Host = Annotated[str, Meta(min_length=1, pattern=r"^[^\s/]+$", description="a host name or address")]
Label = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9._-]{1,128}$", description="1 to 128 letters, digits, dots, dashes and underscores"),
]
TopicName = Annotated[
    str,
    Meta(
        pattern=r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$",
        description="a topic: 1 to 249 letters, digits, dots, dashes and underscores",
    ),
]
TopicNames = Annotated[
    tuple[TopicName, ...],
    Meta(min_length=1, description="one or more topics; in the environment with commas between them"),
]
Bootstrap = Annotated[
    str,
    Meta(
        pattern=r"^[^\s,/]+:[0-9]{1,5}(,[^\s,/]+:[0-9]{1,5})*$",
        description="host:port, or several with commas between them",
    ),
]
RedisUrl = Annotated[
    str,
    Meta(
        pattern=r"^(rediss?://[^\s:@?]*@?[^\s@?]+|unix://[^\s@?]+)$",
        description="redis://host:port/db, rediss:// for TLS or unix:// for a socket, without a password "
        "(that belongs into redis.password_file) and without further options",
    ),
]
CrmUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[^\s\"<>{}/]+/[^\s\"<>{}]*(\{(request_id|customer_id|rep_id)\}[^\s\"<>{}]*)+$",
        description="http:// or https://, with one or more of {request_id}, {customer_id} and {rep_id} after the host",
    ),
]
ShardOfReps = Annotated[
    str, Meta(pattern=r"^[0-9]{1,3}/[1-9][0-9]{0,2}$", description='a shard and how many there are, such as "0/4"')
]
Text = Annotated[str, Meta(min_length=1, description="a text")]
Instant = Annotated[datetime, Meta(tz=True, description="an instant like 2026-11-23T09:00:00Z, with its offset")]

FilePath = Annotated[
    Path,
    Meta(description="a path; a relative one starts at the file that names it, or at the working directory"),
]


class Secret:
    """A secret that is never shown: `repr` and `str` hide it, only `reveal` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))


SecretText = Annotated[Secret, Meta(description="a secret, only in the environment; else name a file that holds it")]


def allowed(kind: Any) -> str:
    """A description of what a setting of this kind may be, from its `Meta` or its Literal."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if isinstance(kind, UnionType) or get_origin(kind) not in (None, Annotated):
        return next(allowed(part) for part in get_args(kind) if part is not NoneType)
    return " and ".join(meta.description for meta in kind.__metadata__ if meta.description)


def problem_with(error: msgspec.ValidationError) -> str:
    """What is wrong with a value, without backquotes and paths; `allowed` explains patterns."""
    text = str(error).split(" - at `", 1)[0].replace("`", "")
    return "does not fit" if " matching regex " in text else text


def is_secret(kind: Any) -> bool:
    """Whether a setting of this kind must be hidden."""
    return kind is Secret or any(is_secret(part) for part in get_args(kind))


def key_of_secret(section: msgspec.Struct, key: str) -> str:
    """The key by which a secret came, or should come: its own (from the environment), else that of its file."""
    return f"{key}_file" if getattr(section, key) is None else key


def is_list(kind: Any) -> bool:
    """Whether a setting of this kind holds several values."""
    return get_origin(kind) is tuple or (get_origin(kind) is Annotated and is_list(get_args(kind)[0]))


def from_file(raw: object, kind: Any, directory: Path) -> Any:
    """A TOML value as a value of this kind; raises `msgspec.ValidationError`."""
    return msgspec.convert(raw, kind, dec_hook=_hook(directory))


def from_environment(raw: str, kind: Any) -> Any:
    """An environment variable's text as a value of this kind; raises `msgspec.ValidationError`."""
    value: object = [part.strip() for part in raw.split(",")] if is_list(kind) else raw
    return msgspec.convert(value, kind, strict=False, dec_hook=_hook(Path.cwd()))


def to_environment(value: object) -> str:
    """The text from which `from_environment` makes this value again."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, Secret):
        return value.reveal()
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _hook(directory: Path) -> Callable[[type, object], object]:
    def build(kind: type, raw: object) -> object:
        if not isinstance(raw, str) or not raw:
            raise ValueError(f"Expected a text, got `{type(raw).__name__}`")
        return Secret(raw) if kind is Secret else (directory / raw).resolve()

    return build
