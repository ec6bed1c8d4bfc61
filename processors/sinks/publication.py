"""One publication of a partition's read model, step by step (`publish.lua`): a delta, or the whole of it."""

import asyncio
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from processors.sinks.keys import KEPT_ENTRIES, lua_text, pack_names
from processors.sinks.redis_client import Connection
from schemas.views import SECTIONS, Changes, Section

FIELDS_AT_ONCE = 1000
BYTES_AT_ONCE = 512 * 1024
"""Limits of one step, so that Redis is never held up for long."""

_PUBLISH = (Path(__file__).parent / "publish.lua").read_text(encoding="utf-8")


class Outcome(StrEnum):
    """What became of a publication."""

    ACCEPTED = "accepted"
    STALE = "stale"
    """The read model is newer than this offset: another worker has read further. Publish everything once past it."""
    EMPTY = "empty"
    """What this writer published before is not there (Redis emptied or restored, another writer, or nothing published
    yet). Publish everything."""


class Writer(msgspec.Struct):
    """Who writes a partition, and how many steps it took: Redis counts with it."""

    name: str
    lock: asyncio.Lock
    count: int = 0


class Publication:
    """One publication; `about` is partition, source offset and newest event time in microseconds."""

    def __init__(self, connection: Connection, keys: list[str], writer: Writer, about: tuple[str, int, int]) -> None:
        self._connection = connection
        self._keys = keys
        self._writer = writer
        self._about = about

    async def delta(self, portions: Iterable[Changes]) -> Outcome:
        """Changed fields, into the live state. No change still moves the fence."""
        outcome = None
        for step in _steps_of(portions):
            outcome = await self._take("delta", step.names(), step.body())
            if outcome is not Outcome.ACCEPTED:
                return outcome
        return outcome or await self._take("delta", _nothing().names(), _nothing().body())

    async def whole(self, portions: Iterable[Changes]) -> Outcome:
        """Everything, beside the live state, which it replaces at the end."""
        outcome = await self._take("begin")
        for step in _steps_of(portions):
            if outcome is not Outcome.ACCEPTED:
                return outcome
            outcome = await self._take("part", body=step.body())
        return await self._take("finish") if outcome is Outcome.ACCEPTED else outcome

    async def reset(self) -> None:
        """Away with all of it."""
        await self._take("reset")

    async def _take(self, step: str, names: bytes = b"", body: bytes = b"") -> Outcome:
        self._writer.count += 1
        by = (self._writer.name, self._writer.count)
        answer = await self._connection.run(_PUBLISH, self._keys, (step, *self._about, *by, names, KEPT_ENTRIES, body))
        return Outcome(str(answer, "ascii"))


class _Step(msgspec.Struct):
    """Values and names of one step, by the section's place in SECTIONS."""

    fields: int
    size: int
    values: dict[Section, list[str | msgspec.Raw]]
    gone: dict[Section, list[str]]

    def put(self, section: Section, field: str, value: bytes) -> None:
        self.values.setdefault(section, []).extend((field, lua_text(value)))
        self.fields += 1
        self.size += len(field) + len(value)

    def delete(self, section: Section, field: str) -> None:
        self.gone.setdefault(section, []).append(field)
        self.fields += 1
        self.size += len(field)

    @property
    def full(self) -> bool:
        return self.fields >= FIELDS_AT_ONCE or self.size >= BYTES_AT_ONCE

    def body(self) -> bytes:
        sections = [section for section in SECTIONS if section in self.values or section in self.gone]
        return msgspec.msgpack.encode(
            [(SECTIONS.index(name), self.values.get(name, []), self.gone.get(name, [])) for name in sections]
        )

    def names(self) -> bytes:
        names = {section: [str(name) for name in values[::2]] for section, values in self.values.items()}
        for section, fields in self.gone.items():
            names.setdefault(section, []).extend(fields)
        return pack_names(names)


def _nothing() -> _Step:
    return _Step(0, 0, {}, {})


def _steps_of(portions: Iterable[Changes]) -> Iterator[_Step]:
    """Each portion is asked for when the one before it is done with."""
    for changes in portions:
        yield from _steps(changes)


def _steps(changes: Changes) -> list[_Step]:
    """One portion, within the limits of a step."""
    steps: list[_Step] = []
    for section, field, value in _each(changes):
        if not steps or steps[-1].full:
            steps.append(_nothing())
        if value is None:
            steps[-1].delete(section, field)
        else:
            steps[-1].put(section, field, value)
    return steps


def _each(changes: Changes) -> Iterator[tuple[Section, str, bytes | None]]:
    for section, fields in changes.puts.items():
        for field, value in fields.items():
            yield section, field, value
    for section, names in changes.deletes.items():
        for name in names:
            yield section, name, None
