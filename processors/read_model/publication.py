"""One publication of a partition's read model, in steps of `publish.lua`: changed fields, or all of them."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from processors.read_model.keys import MAX_STREAM_ENTRIES, lua_text, pack_names
from processors.read_model.redis_connection import RedisConnection
from schemas.views import SECTIONS, Changes, Section

MAX_STEP_FIELDS = 1000
MAX_STEP_BYTES = 512 * 1024
"""Limits of one step, so that Redis is never held up for long."""

NO_CHANGES = Changes({}, {})
UNOWNED_EPOCH = 0
"""The epoch of a writer that never claimed its partition, and of publications by versions without epochs."""

_PUBLISH = (Path(__file__).parent / "publish.lua").read_text(encoding="utf-8")


class PublicationOutcome(StrEnum):
    """What became of a publication."""

    ACCEPTED = "accepted"
    FORMER = "former"
    """A newer owner has claimed the partition: this one cannot publish any more."""
    STALE = "stale"
    """The read model is newer than this offset: another worker has read further. Publish everything once past it."""
    EMPTY = "empty"
    """What this writer published before is missing: Redis was emptied or restored, another writer came, or nothing was
    published yet. Publish everything."""


class PartitionWriter(msgspec.Struct):
    """The writer of one partition: its clock, its epoch, and its count of steps, which Redis keeps too."""

    name: str
    clock: str
    lock: asyncio.Lock
    count: int = 0
    epoch: int = UNOWNED_EPOCH
    """The owner's epoch: the fence accepts the one that claimed last."""
    logs: str = ""
    """The identity of the logs that the owner reads; empty if unknown."""


class PublicationSteps:
    """One publication; `about` is partition, source offset and newest event time in microseconds."""

    def __init__(
        self, connection: RedisConnection, keys: list[str], writer: PartitionWriter, about: tuple[str, int, int]
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._writer = writer
        self._about = about

    async def delta(self, portions: Iterable[Changes]) -> PublicationOutcome:
        """Publish changed fields into the live state. The fence moves even without changes."""
        outcome = None
        for step in steps_of(portions):
            outcome = await self._run_step("delta", _names(step), _body(step))
            if outcome is not PublicationOutcome.ACCEPTED:
                return outcome
        return outcome or await self._run_step("delta", _names(NO_CHANGES), _body(NO_CHANGES))

    async def whole(self, portions: Iterable[Changes]) -> PublicationOutcome:
        """Publish everything, beside the live state, which it replaces at the end."""
        outcome = await self._run_step("begin")
        for step in steps_of(portions):
            if outcome is not PublicationOutcome.ACCEPTED:
                return outcome
            outcome = await self._run_step("part", body=_body(step))
        return await self._run_step("finish") if outcome is PublicationOutcome.ACCEPTED else outcome

    async def announce(self) -> PublicationOutcome:
        """Announce a claim; the caller has its ownership confirmed before it claims."""
        return await self._run_step("announce")

    async def claim(self) -> PublicationOutcome:
        """Have older owners refused from now on. EMPTY: the announcement is gone."""
        return await self._run_step("claim")

    async def reset(self) -> PublicationOutcome:
        """Delete what is published."""
        return await self._run_step("reset")

    async def retire(self) -> PublicationOutcome:
        """Delete what is published and the fence, whoever owns the partition."""
        return await self._run_step("retire")

    async def _run_step(self, step: str, names: bytes = b"", body: bytes = b"") -> PublicationOutcome:
        writer = self._writer
        writer.count += 1
        by = (writer.name, writer.count, writer.clock, writer.epoch, writer.logs)
        answer = await self._connection.run_script(
            _PUBLISH, self._keys, (step, *self._about, *by, names, MAX_STREAM_ENTRIES, body)
        )
        return PublicationOutcome(str(answer, "ascii"))


def _body(changes: Changes) -> bytes:
    """Values and names of one step, by the section's index in SECTIONS."""
    return msgspec.msgpack.encode(
        [
            (index, _flat(changes.puts.get(section, {})), changes.deletes.get(section, []))
            for index, section in enumerate(SECTIONS)
            if section in changes.puts or section in changes.deletes
        ]
    )


def _flat(fields: Mapping[str, bytes]) -> list[str | msgspec.Raw]:
    """Names and values alternately."""
    return [item for name, value in fields.items() for item in (name, lua_text(value))]


def _names(changes: Changes) -> bytes:
    """The names of the fields that a step changes."""
    sections = changes.puts.keys() | changes.deletes.keys()
    return pack_names(
        {section: [*changes.puts.get(section, {}), *changes.deletes.get(section, [])] for section in sections}
    )


def steps_of(portions: Iterable[Changes]) -> Iterator[Changes]:
    """The steps of all portions; the next portion is made only when the last one is done."""
    for changes in portions:
        yield from _steps(changes)


def _steps(changes: Changes) -> Iterator[Changes]:
    """One portion, halved until every piece fits into a step, or is a single field."""
    puts, deletes = changes.puts.values(), changes.deletes.values()
    fields = sum(map(len, puts)) + sum(map(len, deletes))
    size = sum(sum(map(len, names)) for names in (*puts, *deletes))
    size += sum(sum(map(len, values.values())) for values in puts)
    if fields > 1 and (fields > MAX_STEP_FIELDS or size > MAX_STEP_BYTES):
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
