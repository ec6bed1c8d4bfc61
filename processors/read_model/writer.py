"""Publishes the read model: absolute values, fenced by owner and source offset, all or nothing.

A writer first publishes the whole state of a partition, then changed fields. Redis answers when the live state is not
what this writer left there: then the whole state is published again.
"""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4

import msgspec

from processors.read_model.keys import MAX_STREAM_ENTRIES, ReadModelKeys, lua_text
from processors.read_model.publication import MAX_STEP_FIELDS, PartitionWriter, PublicationOutcome, PublicationSteps
from processors.read_model.redis_connection import RedisConnection
from schemas.events import RepUpdated
from schemas.views import Changes

_PUT_REPS = (Path(__file__).parent / "put_reps.lua").read_text(encoding="utf-8")


_Entry = tuple[int, msgspec.Raw | bool]
"""A rep's offset on crm.reps and its value; False: it is gone."""


class ReadModelWriter:
    """The writing side of the read model. Every method raises Unavailable when Redis does not answer."""

    def __init__(self, connection: RedisConnection, prefix: str, clock: str = "") -> None:
        """`clock` describes the clock behind the numbers, so that `verify` can reject a reader with another one."""
        self._clock = clock
        self._connection = connection
        self._keys = ReadModelKeys(prefix)
        self._name = uuid4().hex
        self._writers: dict[str, PartitionWriter] = {}
        self._reps: dict[str, _Entry] = {}

    async def publish(
        self, partition: str, offset: int, changes: Changes, whole: bool, stream_us: int = 0
    ) -> PublicationOutcome:
        """Publish the state at a source offset: the changed fields or, with `whole`, everything there is.

        `stream_us` is the newest event time in it, in microseconds since 1970. After Unavailable, and after any outcome
        but ACCEPTED, the changes are not in the read model: publish everything next.
        """
        return await self.publish_portions((partition, offset, stream_us), [changes], whole)

    async def publish_portions(
        self, about: tuple[str, int, int], portions: Iterable[Changes], whole: bool
    ) -> PublicationOutcome:
        """The same in portions, each made when the last one is written. `about`: partition, offset, stream_us.

        Values may be newer than the offset: what changed meanwhile is published again with the next offset.
        """
        partition, offset, stream_us = about
        writer = self._writer(partition)
        async with writer.lock:
            steps = self._steps(writer, partition, offset, stream_us)
            outcome = await (steps.whole(portions) if whole else steps.delta(portions))
        if whole and outcome is PublicationOutcome.ACCEPTED:
            await self._put_reps(self._reps)
        return outcome

    async def announce(self, partition: str, epoch: int, logs: str) -> PublicationOutcome:
        """Announce that an owner is about to claim a partition. FORMER: a newer owner has claimed it."""
        writer = self._writer(partition)
        async with writer.lock:
            writer.epoch, writer.logs = epoch, logs
            return await self._steps(writer, partition, -1, 0).announce()

    async def claim(self, partition: str) -> PublicationOutcome:
        """Have all older owners refused from now on. Call it once ownership was confirmed after the announcement.

        EMPTY: the announcement is gone, or was replaced by another one: announce again.
        """
        writer = self._writer(partition)
        async with writer.lock:
            return await self._steps(writer, partition, -1, 0).claim()

    async def fence(self, partition: str) -> tuple[int, str] | None:
        """The source offset of the published state, and the identity of its logs; None if nothing is published."""
        offset, logs = await self._connection.fields(self._keys.fence(partition), ["offset", "logs"])
        return None if offset is None else (int(offset), (logs or b"").decode())

    async def reset(self, partition: str) -> PublicationOutcome:
        """Delete what is published of a partition, except its owner's epoch. FORMER, EMPTY: nothing happened."""
        writer = self._writer(partition)
        async with writer.lock:
            return await self._steps(writer, partition, -1, 0).reset()

    async def retire(self, partition: str) -> None:
        """Delete all that is published of a partition that nobody owns any more, whoever its last owner was."""
        writer = self._writer(partition)
        async with writer.lock:
            await self._steps(writer, partition, -1, 0).retire()

    async def put_rep(self, rep: RepUpdated, offset: int) -> int:
        """Publish one entry of the directory with its offset on crm.reps; returns how many entries changed."""
        return await self.put_reps([(rep, offset)])

    async def put_reps(self, reps: Iterable[tuple[RepUpdated, int]]) -> int:
        """Publish entries of the directory; older ones than those published have no effect. Returns how many changed.

        They are kept, and published again with every whole partition, since Redis may have been emptied.
        """
        entries: dict[str, _Entry] = {
            rep.rep_id: (offset, lua_text(msgspec.msgpack.encode(rep))) for rep, offset in reps
        }
        return await self._put_newest(entries)

    async def remove_rep(self, rep_id: str, offset: int) -> int:
        """Remove a rep after a tombstone on crm.reps. Returns 1 if that changed anything, else 0."""
        return await self._put_newest({rep_id: (offset, False)})

    async def reset_reps(self) -> None:
        """Forget the offsets of the directory, after crm.reps was created again."""
        self._reps.clear()
        await self._connection.run_script("return redis.call('DEL', KEYS[1])", [self._keys.rep_offsets], [])

    async def rep_ids(self) -> set[str]:
        """The reps that are published."""
        return {name.decode() for name in await self._connection.field_names(self._keys.reps)}

    async def close(self) -> None:
        """Close all connections."""
        await self._connection.close()

    def _writer(self, partition: str) -> PartitionWriter:
        return self._writers.setdefault(partition, PartitionWriter(self._name, self._clock, asyncio.Lock()))

    def _steps(self, writer: PartitionWriter, partition: str, offset: int, stream_us: int) -> PublicationSteps:
        keys = self._keys.publication(partition)
        return PublicationSteps(self._connection, keys, writer, (partition, offset, stream_us))

    async def _put_newest(self, reps: Mapping[str, _Entry]) -> int:
        newest = {rep_id: entry for rep_id, entry in reps.items() if entry[0] >= self._reps.get(rep_id, entry)[0]}
        self._reps.update(newest)
        return await self._put_reps(newest)

    async def _put_reps(self, reps: Mapping[str, _Entry]) -> int:
        entries = [(rep_id, offset, value) for rep_id, (offset, value) in reps.items()]
        keys = [self._keys.reps, self._keys.rep_offsets, self._keys.changes, self._keys.sequence]
        changed = 0
        for first in range(0, len(entries), MAX_STEP_FIELDS):
            body = msgspec.msgpack.encode(entries[first : first + MAX_STEP_FIELDS])
            changed += int(await self._connection.run_script(_PUT_REPS, keys, [MAX_STREAM_ENTRIES, body]))
        return changed
