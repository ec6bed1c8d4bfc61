"""Reads the read model: loads everything once, then follows the changes.

Entries of the changes stream are numbered without gaps, and start from the present microsecond when Redis was emptied.
After a gap, an emptied Redis or a lost connection everything is loaded again. A partition that is missing in Redis
keeps its last state, so that boards do not blink while workers publish everything again.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import msgspec

from processors.read_model.keys import ReadModelKeys, unpack_names
from processors.read_model.redis_connection import RedisConnection, StreamEntry
from schemas.errors import Unavailable
from schemas.views import SECTIONS, Section

SCAN_BATCH_SIZE = 250
"""How many fields are loaded before the event loop gets its turn."""
CHANGES_BATCH_SIZE = 1000
"""How many changed fields are read in one round trip; applying them takes 5 ms."""
ENTRIES_BATCH_SIZE = 64
BLOCK_MS = 1000
MIN_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 2.0
SILENT_AFTER_US = 15 * 1_000_000
"""A worker publishes each of its partitions every second, or every 5 s while it reads history."""

_START = b"0-0"


class ReadModelView(Protocol):
    """Holds the state that is read. Values are msgpack bytes, None for a field that is gone."""

    def put(self, partition: str, section: Section, field: str, raw: bytes | None) -> None:
        """Set a field to its current value."""

    def put_rep(self, rep_id: str, raw: bytes | None) -> None:
        """Set a rep's current entry in the directory."""

    def published(self, partition: str, offset: int, stream_us: int) -> None:
        """The partition's state is complete up to this source offset and event time."""

    def fields(self, partition: str, section: Section) -> Iterable[str]:
        """The fields that are held. The caller may remove the one just yielded, and go on."""

    def rep_ids(self) -> Iterable[str]:
        """The reps whose entries are held."""

    def drop(self, partition: str) -> None:
        """Forget a partition."""


class _EmptiedError(Exception):
    """Redis was emptied while it was read: what is missing now is not gone."""


class FollowerStatus(msgspec.Struct):
    """The state of the follower. Instants are microseconds of the wall clock."""

    loaded: bool = False
    """Whether everything was read at least once."""
    down_since_us: int | None = None
    """Since when Redis does not answer."""
    why_down: str | None = None
    silent: dict[str, int] = {}
    """Partitions without a publication for SILENT_AFTER_US, with the instant of the last one: nobody writes them, or
    Redis accepts nothing."""
    emptied: bool = False
    """Redis answers, but its content is gone: the last state is kept until workers publish again."""
    loads: int = 0
    position: int = 0
    """The number of the newest entry that was applied."""

    @property
    def stale_since_us(self) -> int | None:
        """Since when the state is not live; None: it is."""
        known = [*self.silent.values()] + [self.down_since_us] * (self.down_since_us is not None)
        return min((at_us for at_us in known if at_us is not None), default=None)

    @property
    def why_stale(self) -> str | None:
        """Why the state is not live."""
        if self.down_since_us is None and self.silent:
            first, *others = sorted(self.silent)
            return f"no worker publishes {first}{f' and {len(others)} more' if others else ''}"
        return self.why_down


class Follower:
    """Keeps a view up to date, for as long as `run` runs."""

    def __init__(
        self, connection: RedisConnection, prefix: str, view: ReadModelView, wall_us: Callable[[], int]
    ) -> None:
        self.status = FollowerStatus()
        self._connection = connection
        self._keys = ReadModelKeys(prefix)
        self._view = view
        self._wall_us = wall_us
        self._last_id = _START
        self._published_at: dict[str, int] = {}

    async def run(self) -> None:
        """Follow until cancelled. Redis may be away at any time."""
        pause = MIN_PAUSE_SECONDS
        while True:
            try:
                await self._load()
                pause = MIN_PAUSE_SECONDS
                while await self._follow():
                    self._mark_up()
            except _EmptiedError:
                await asyncio.sleep(MIN_PAUSE_SECONDS)
            except Unavailable as error:
                self._mark_down(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_SECONDS)

    async def read_once(self) -> None:
        """Read everything there is, and follow no further. Raises Unavailable."""
        await self._load()
        await self._next(None)

    async def _load(self) -> None:
        """Load everything, from a position noted before, so that what changes meanwhile is read again."""
        number = int(await self._connection.get(self._keys.sequence) or 0)
        newest = await self._connection.newest_entry(self._keys.changes)
        self._last_id = newest[0] if newest else _START
        self.status.position = _number(newest) if newest else number
        published_us = await self._published_us(newest)
        partitions = await self._connection.members(self._keys.partitions)
        for partition in sorted(partitions):
            await self._load_partition(partition)
            self._published_at[partition] = max(published_us, self._published_at.get(partition, published_us))
        await self._load_reps()
        self.status.emptied = self.status.loaded and not partitions
        self.status.loaded = True
        self.status.loads += 1
        self._mark_up()

    async def _published_us(self, newest: StreamEntry | None) -> int:
        """When the newest entry was written, by our clock; its id is of Redis' clock."""
        now_us = self._wall_us()
        if newest is None:
            return now_us
        return now_us - max(await self._connection.now_us() - int(newest[0].partition(b"-")[0]) * 1000, 0)

    async def _load_partition(self, partition: str) -> None:
        """The fence is read first: whatever is read after it is as new, or newer."""
        offset, stream_us = await self._connection.fields(self._keys.fence(partition), ["offset", "stream_us"])
        for section in SECTIONS:
            seen = set()
            async for fields in self._connection.scan(self._keys.section(partition, section), SCAN_BATCH_SIZE):
                for field, raw in fields.items():
                    self._view.put(partition, section, name := field.decode(), raw)
                    seen.add(name)
                await asyncio.sleep(0)
            await self._sweep(partition, section, seen)
        if offset is not None and stream_us is not None:
            self._view.published(partition, int(offset), int(stream_us))

    async def _sweep(self, partition: str, section: Section, seen: set[str]) -> None:
        """Remove fields that are gone from Redis. Raises _EmptiedError."""
        await self._require_same_data()
        for count, name in enumerate(self._view.fields(partition, section)):
            if name not in seen:
                self._view.put(partition, section, name, None)
            if count % SCAN_BATCH_SIZE == 0:
                await asyncio.sleep(0)

    async def _load_reps(self) -> None:
        seen = set()
        async for fields in self._connection.scan(self._keys.reps, SCAN_BATCH_SIZE):
            for rep_id, raw in fields.items():
                self._view.put_rep(name := rep_id.decode(), raw)
                seen.add(name)
            await asyncio.sleep(0)
        gone = [name for name in self._view.rep_ids() if seen and name not in seen]
        await self._require_same_data()
        for name in gone:
            self._view.put_rep(name, None)

    async def _follow(self) -> bool:
        """Apply new entries, waiting for them up to BLOCK_MS; False: entries are missing, load again."""
        entries = await self._next(BLOCK_MS)
        if not entries:
            return await self._nothing_missed()
        return await self._apply(entries)

    async def _next(self, block_ms: int | None) -> list[StreamEntry]:
        return await self._connection.entries_after(self._keys.changes, self._last_id, ENTRIES_BATCH_SIZE, block_ms)

    async def _nothing_missed(self) -> bool:
        """After a silence: whether the newest number is ours, or the next entry follows ours."""
        number = int(await self._connection.get(self._keys.sequence) or 0)
        if number == self.status.position:
            return True
        entries = await self._next(None)
        return bool(entries) and await self._apply(entries)

    async def _apply(self, entries: list[StreamEntry]) -> bool:
        changes = _ChangedFields()
        for entry in entries:
            if _number(entry) != self.status.position + 1:
                return False
            changes.add(entry[1])
            self.status.position += 1
        self._last_id = entries[-1][0]
        await self._read(changes)
        return True

    async def _read(self, changes: "_ChangedFields") -> None:
        for partition in changes.resets:
            self._view.drop(partition)
            self._published_at.pop(partition, None)
        for partition in changes.wholes:
            await self._load_partition(partition)
        for wanted in changes.portions():
            await self._read_fields(wanted)
        for partition, (offset, stream_us) in changes.published.items():
            self._view.published(partition, offset, stream_us)
            self._published_at[partition] = self._wall_us()
        self.status.emptied = self.status.emptied and not changes.wholes

    async def _read_fields(self, wanted: "list[_FieldsToRead]") -> None:
        hashes = [self._keys.section(*one.key) if one.key else self._keys.reps for one in wanted]
        found = await self._connection.fields_of([(name, one.names) for name, one in zip(hashes, wanted, strict=True)])
        await self._require_same_data()
        for one, values in zip(wanted, found, strict=True):
            for name, raw in zip(one.names, values, strict=True):
                if one.key:
                    self._view.put(*one.key, name, raw)
                else:
                    self._view.put_rep(name, raw)
        await asyncio.sleep(0)

    async def _require_same_data(self) -> None:
        """Raise _EmptiedError unless the newest known entry is still there. To be asked after values were read."""
        if self._last_id != _START and not await self._connection.has_entry(self._keys.changes, self._last_id):
            raise _EmptiedError

    def _mark_up(self) -> None:
        self.status.down_since_us = self.status.why_down = None
        long_ago_us = self._wall_us() - SILENT_AFTER_US
        self.status.silent = {
            partition: at_us for partition, at_us in self._published_at.items() if at_us < long_ago_us
        }

    def _mark_down(self, why: str) -> None:
        if self.status.down_since_us is None:
            self.status.down_since_us = self._wall_us()
        self.status.why_down = why


class _FieldsToRead(NamedTuple):
    """Fields to read again."""

    key: tuple[str, Section] | None
    """The partition and the section; None: the directory of reps."""
    names: list[str]


class _ChangedFields:
    """The fields that some entries name, each once: only current values are read, however often they changed."""

    def __init__(self) -> None:
        self.fields: dict[tuple[str, Section], dict[str, None]] = {}
        self.wholes: dict[str, None] = {}
        self.resets: dict[str, None] = {}
        self.reps: dict[str, None] = {}
        self.published: dict[str, tuple[int, int]] = {}

    def add(self, entry: Mapping[bytes, bytes]) -> None:
        """Add what one entry names."""
        kind = entry[b"kind"]
        if kind == b"reps":
            self.reps |= dict.fromkeys(msgspec.msgpack.decode(entry[b"names"], type=list[str]))
            return
        partition = entry[b"partition"].decode()
        if kind == b"delta":
            self._add_names(partition, unpack_names(entry[b"names"]))
        else:
            self._add_replacement(partition, kind)
        if kind != b"reset":
            self.published[partition] = (int(entry[b"offset"]), int(entry[b"stream_us"]))

    def portions(self) -> Iterator[list[_FieldsToRead]]:
        """The changed fields, CHANGES_BATCH_SIZE at a time."""
        portion: list[_FieldsToRead] = []
        room = CHANGES_BATCH_SIZE
        for key, fields in [*self.fields.items(), (None, self.reps)]:
            names = list(fields)
            while names:
                portion.append(_FieldsToRead(key, names[:room]))
                names, room = names[room:], room - len(portion[-1].names)
                if not room:
                    yield portion
                    portion, room = [], CHANGES_BATCH_SIZE
        if portion:
            yield portion

    def _add_names(self, partition: str, names: dict[Section, list[str]]) -> None:
        for section, some in names.items():
            self.fields.setdefault((partition, section), {}).update(dict.fromkeys(some))

    def _add_replacement(self, partition: str, kind: bytes) -> None:
        for section in SECTIONS:
            self.fields.pop((partition, section), None)
        self.published.pop(partition, None)
        self.wholes.pop(partition, None)
        (self.resets if kind == b"reset" else self.wholes)[partition] = None


def _number(entry: StreamEntry) -> int:
    return int(entry[1][b"number"])
