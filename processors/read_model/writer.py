"""Publishing the read model: absolute values, fenced by owner and source offset, never half of it.

A partition's first publication by a writer is always the whole read model. Later ones are the changed fields. Redis
says when the live state is not the one that this writer left there: then everything is published again.
"""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import uuid4

import msgspec

from processors.read_model.connection import Connection
from processors.read_model.keys import KEPT_ENTRIES, Keys, lua_text
from processors.read_model.publication import FIELDS_AT_ONCE, Outcome, Publication, Writer
from schemas.events import RepUpdated
from schemas.views import Changes

_PUT_REPS = (Path(__file__).parent / "put_reps.lua").read_text(encoding="utf-8")


_Entry = tuple[int, msgspec.Raw | bool]
"""A rep's offset on crm.reps and its value; False: it is gone."""


class ReadModel:
    """The writing side of the read model. Every method raises Unavailable when Redis does not answer."""

    def __init__(self, connection: Connection, prefix: str, clock: str = "") -> None:
        """`clock`: by which one the numbers are, in words; whoever reads them by another one is told (`verify`)."""
        self._clock = clock
        self._connection = connection
        self._keys = Keys(prefix)
        self._name = uuid4().hex
        self._writers: dict[str, Writer] = {}
        self._reps: dict[str, _Entry] = {}

    async def publish(self, partition: str, offset: int, changes: Changes, whole: bool, stream_us: int = 0) -> Outcome:
        """Publish the state at a source offset: the changed fields or, with `whole`, everything there is.

        `stream_us` is the newest event time in it, in microseconds since 1970. After anything but ACCEPTED, and after
        Unavailable, the changes are not in the read model: publish everything next.
        """
        return await self.publish_portions((partition, offset, stream_us), [changes], whole)

    async def publish_portions(self, about: tuple[str, int, int], portions: Iterable[Changes], whole: bool) -> Outcome:
        """The same in portions, each asked for when the one before it was written; `about`: see `publish`.

        Values may be newer than the offset: what changed meanwhile is published again with the next one.
        """
        partition, offset, stream_us = about
        writer = self._writer(partition)
        async with writer.lock:
            steps = self._steps(writer, partition, offset, stream_us)
            outcome = await (steps.whole(portions) if whole else steps.delta(portions))
        if whole and outcome is Outcome.ACCEPTED:
            await self._put_reps(self._reps)
        return outcome

    async def announce(self, partition: str, epoch: int, logs: str) -> Outcome:
        """Say that an owner is about to claim a partition. FORMER: a newer one has."""
        writer = self._writer(partition)
        async with writer.lock:
            writer.epoch, writer.logs = epoch, logs
            return await self._steps(writer, partition, -1, 0).announce()

    async def claim(self, partition: str) -> Outcome:
        """Refuse all older owners from now on: for whoever was confirmed as the owner after its announcement.

        EMPTY: the announcement is gone, or another one came after it: announce again.
        """
        writer = self._writer(partition)
        async with writer.lock:
            return await self._steps(writer, partition, -1, 0).claim()

    async def fence(self, partition: str) -> tuple[int, str] | None:
        """The source offset of the published state, and the identity of its logs; None: nothing is published."""
        offset, logs = await self._connection.fields(self._keys.fence(partition), ["offset", "logs"])
        return None if offset is None else (int(offset), (logs or b"").decode())

    async def reset(self, partition: str) -> Outcome:
        """Forget all that is published of a partition, but for its owner's epoch. FORMER, EMPTY: nothing happened."""
        writer = self._writer(partition)
        async with writer.lock:
            return await self._steps(writer, partition, -1, 0).reset()

    async def put_rep(self, rep: RepUpdated, offset: int) -> int:
        """Publish one entry of the directory with its offset on crm.reps; returns how many entries changed."""
        return await self.put_reps([(rep, offset)])

    async def put_reps(self, reps: Iterable[tuple[RepUpdated, int]]) -> int:
        """Publish entries of the directory; older ones than those published have no effect. Returns how many changed.

        They are remembered, and published again with every whole partition: Redis may have been emptied.
        """
        news: dict[str, _Entry] = {rep.rep_id: (offset, lua_text(msgspec.msgpack.encode(rep))) for rep, offset in reps}
        return await self._remember(news)

    async def remove_rep(self, rep_id: str, offset: int) -> int:
        """A tombstone on crm.reps: the rep leaves the directory. Returns whether that changed anything, as 1 or 0."""
        return await self._remember({rep_id: (offset, False)})

    async def reset_reps(self) -> None:
        """Forget the offsets of the directory: crm.reps was made anew."""
        self._reps.clear()
        await self._connection.run("return redis.call('DEL', KEYS[1])", [self._keys.rep_offsets], [])

    async def rep_ids(self) -> set[str]:
        """The reps that are published."""
        return {name.decode() for name in await self._connection.field_names(self._keys.reps)}

    async def close(self) -> None:
        """Give the connections back."""
        await self._connection.close()

    def _writer(self, partition: str) -> Writer:
        return self._writers.setdefault(partition, Writer(self._name, self._clock, asyncio.Lock()))

    def _steps(self, writer: Writer, partition: str, offset: int, stream_us: int) -> Publication:
        keys = self._keys.publication(partition)
        return Publication(self._connection, keys, writer, (partition, offset, stream_us))

    async def _remember(self, reps: Mapping[str, _Entry]) -> int:
        news = {rep_id: entry for rep_id, entry in reps.items() if entry[0] >= self._reps.get(rep_id, entry)[0]}
        self._reps.update(news)
        return await self._put_reps(news)

    async def _put_reps(self, reps: Mapping[str, _Entry]) -> int:
        entries = [(rep_id, offset, value) for rep_id, (offset, value) in reps.items()]
        keys = [self._keys.reps, self._keys.rep_offsets, self._keys.changes, self._keys.sequence]
        changed = 0
        for first in range(0, len(entries), FIELDS_AT_ONCE):
            body = msgspec.msgpack.encode(entries[first : first + FIELDS_AT_ONCE])
            changed += int(await self._connection.run(_PUT_REPS, keys, [KEPT_ENTRIES, body]))
        return changed
