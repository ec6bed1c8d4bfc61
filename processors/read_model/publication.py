"""One publication of a partition's read model, step by step (`publish.lua`): a delta, or the whole of it."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from processors.read_model.connection import Connection
from processors.read_model.keys import KEPT_ENTRIES, lua_text, pack_names
from schemas.views import SECTIONS, Changes, Section

FIELDS_AT_ONCE = 1000
BYTES_AT_ONCE = 512 * 1024
"""Limits of one step, so that Redis is never held up for long."""

NOTHING = Changes({}, {})
UNOWNED = 0
"""The epoch of a writer that never claimed, and of what a version without epochs published."""

_PUBLISH = (Path(__file__).parent / "publish.lua").read_text(encoding="utf-8")


class Outcome(StrEnum):
    """What became of a publication."""

    ACCEPTED = "accepted"
    FORMER = "former"
    """A newer owner has claimed the partition: nothing of this one is published any more."""
    STALE = "stale"
    """The read model is newer than this offset: another worker has read further. Publish everything once past it."""
    EMPTY = "empty"
    """What this writer published before is not there (Redis emptied or restored, another writer, or nothing published
    yet). Publish everything."""


class Writer(msgspec.Struct):
    """Who writes a partition, by which clock, as which owner, and how many steps it took: Redis counts with it."""

    name: str
    clock: str
    lock: asyncio.Lock
    count: int = 0
    epoch: int = UNOWNED
    """The owner's epoch: the fence lets in the one that was claimed last."""
    logs: str = ""
    """The identity of the logs that the owner reads; empty: not known."""


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
        for step in steps_of(portions):
            outcome = await self._take("delta", _names(step), _body(step))
            if outcome is not Outcome.ACCEPTED:
                return outcome
        return outcome or await self._take("delta", _names(NOTHING), _body(NOTHING))

    async def whole(self, portions: Iterable[Changes]) -> Outcome:
        """Everything, beside the live state, which it replaces at the end."""
        outcome = await self._take("begin")
        for step in steps_of(portions):
            if outcome is not Outcome.ACCEPTED:
                return outcome
            outcome = await self._take("part", body=_body(step))
        return await self._take("finish") if outcome is Outcome.ACCEPTED else outcome

    async def announce(self) -> Outcome:
        """The owner is about to claim, once its ownership was confirmed after this."""
        return await self._take("announce")

    async def claim(self) -> Outcome:
        """From now on, older owners are refused. EMPTY: the announcement is gone."""
        return await self._take("claim")

    async def reset(self) -> Outcome:
        """Away with all of it."""
        return await self._take("reset")

    async def _take(self, step: str, names: bytes = b"", body: bytes = b"") -> Outcome:
        writer = self._writer
        writer.count += 1
        by = (writer.name, writer.count, writer.clock, writer.epoch, writer.logs)
        answer = await self._connection.run(_PUBLISH, self._keys, (step, *self._about, *by, names, KEPT_ENTRIES, body))
        return Outcome(str(answer, "ascii"))


def _body(changes: Changes) -> bytes:
    """Values and names of one step, by the section's place in SECTIONS."""
    return msgspec.msgpack.encode(
        [
            (index, _flat(changes.puts.get(section, {})), changes.deletes.get(section, []))
            for index, section in enumerate(SECTIONS)
            if section in changes.puts or section in changes.deletes
        ]
    )


def _flat(fields: Mapping[str, bytes]) -> list[str | msgspec.Raw]:
    """Names and values in turn."""
    return [item for name, value in fields.items() for item in (name, lua_text(value))]


def _names(changes: Changes) -> bytes:
    """What a step changes."""
    sections = changes.puts.keys() | changes.deletes.keys()
    return pack_names(
        {section: [*changes.puts.get(section, {}), *changes.deletes.get(section, [])] for section in sections}
    )


def steps_of(portions: Iterable[Changes]) -> Iterator[Changes]:
    """Each portion is asked for when the one before it is done with."""
    for changes in portions:
        yield from _steps(changes)


def _steps(changes: Changes) -> Iterator[Changes]:
    """One portion, halved until every piece is within the limits of a step, or is a single field."""
    puts, deletes = changes.puts.values(), changes.deletes.values()
    fields = sum(map(len, puts)) + sum(map(len, deletes))
    size = sum(sum(map(len, names)) for names in (*puts, *deletes))
    size += sum(sum(map(len, values.values())) for values in puts)
    if fields > 1 and (fields > FIELDS_AT_ONCE or size > BYTES_AT_ONCE):
        entries = list(_each(changes))
        yield from _steps(_of(entries[: fields // 2]))
        yield from _steps(_of(entries[fields // 2 :]))
    elif fields:
        yield changes


def _each(changes: Changes) -> Iterator[tuple[Section, str, bytes | None]]:
    for section, fields in changes.puts.items():
        for field, value in fields.items():
            yield section, field, value
    for section, names in changes.deletes.items():
        for name in names:
            yield section, name, None


def _of(entries: Iterable[tuple[Section, str, bytes | None]]) -> Changes:
    changes = Changes({}, {})
    for section, field, value in entries:
        changes.add(section, field, value)
    return changes
