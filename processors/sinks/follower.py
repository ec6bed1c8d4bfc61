"""The reading side of the read model: load everything once, then follow the changes.

Entries of the changes stream are numbered without gaps; when Redis was emptied, anew from the present microsecond. A
gap, an emptied Redis or a lost connection means: load again. A partition that is not in Redis just now keeps its last
state, so that boards do not blink while workers publish everything again.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

import msgspec

from processors.sinks.keys import Keys, unpack_names
from processors.sinks.redis_client import Connection, Entry
from schemas.errors import Unavailable
from schemas.views import SECTIONS, Section

FIELDS_AT_ONCE = 250
"""How many fields are loaded before the event loop gets its turn."""
CHANGES_AT_ONCE = 1000
"""How many changed fields are read in one round trip; taking them in takes 5 ms."""
ENTRIES_AT_ONCE = 64
BLOCK_MS = 1000
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
SILENT_US = 15 * 1_000_000
"""A worker publishes each of its partitions every second, or every 5 s while it reads history."""

_START = b"0-0"


class View(Protocol):
    """Who holds the state that is read. Values are msgpack bytes; None: the field is gone."""

    def put(self, partition: str, section: Section, field: str, raw: bytes | None) -> None:
        """A field's present value."""

    def put_rep(self, rep_id: str, raw: bytes | None) -> None:
        """A rep's present entry in the directory."""

    def published(self, partition: str, offset: int, stream_us: int) -> None:
        """Up to which source offset and event time the partition's state goes."""

    def fields(self, partition: str, section: Section) -> Iterable[str]:
        """The fields that are held. The caller may take out what it was just told of, and goes on."""

    def rep_ids(self) -> Iterable[str]:
        """The reps whose entries are held."""

    def drop(self, partition: str) -> None:
        """The partition is no more."""


class _EmptiedError(Exception):
    """Redis was emptied while it was read: what it lacks now is not gone."""


class Status(msgspec.Struct):
    """How the follower is. Instants are microseconds of the wall's clock."""

    loaded: bool = False
    """Whether everything was read at least once."""
    down_since_us: int | None = None
    """Since when Redis does not answer."""
    why_down: str | None = None
    silent: dict[str, int] = {}
    """Partitions of which nothing was published for SILENT_US, with the instant of the last time: nobody writes them,
    or Redis takes nothing."""
    emptied: bool = False
    """Redis answers, but what was there is gone: the last state is kept until workers publish again."""
    loads: int = 0
    position: int = 0
    """The number of the newest entry that was taken in."""

    @property
    def stale_since_us(self) -> int | None:
        """Since when what is shown is not live; None: it is."""
        known = [*self.silent.values()] + [self.down_since_us] * (self.down_since_us is not None)
        return min((at_us for at_us in known if at_us is not None), default=None)

    @property
    def why_stale(self) -> str | None:
        """Why it is not live."""
        if self.down_since_us is None and self.silent:
            first, *others = sorted(self.silent)
            return f"no worker publishes {first}{f' and {len(others)} more' if others else ''}"
        return self.why_down


class Follower:
    """Keeps a view up to date, for as long as `run` runs."""

    def __init__(self, connection: Connection, prefix: str, view: View, wall_us: Callable[[], int]) -> None:
        self.status = Status()
        self._connection = connection
        self._keys = Keys(prefix)
        self._view = view
        self._wall_us = wall_us
        self._last_id = _START
        self._heard: dict[str, int] = {}

    async def run(self) -> None:
        """Follow until cancelled. Redis may be away at any time."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                await self._load()
                pause = FIRST_PAUSE_SECONDS
                while await self._follow():
                    self._up()
            except _EmptiedError:
                await asyncio.sleep(FIRST_PAUSE_SECONDS)
            except Unavailable as error:
                self._down(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def read_once(self) -> None:
        """Take in all there is, and follow no further. Raises Unavailable."""
        await self._load()
        await self._next(None)

    async def _load(self) -> None:
        """Everything, from a position taken before: what changes meanwhile is read again."""
        number = int(await self._connection.get(self._keys.sequence) or 0)
        newest = await self._connection.newest(self._keys.changes)
        self._last_id = newest[0] if newest else _START
        self.status.position = _number(newest) if newest else number
        heard_us = await self._published_us(newest)
        partitions = await self._connection.members(self._keys.partitions)
        for partition in sorted(partitions):
            await self._load_partition(partition)
            self._heard[partition] = max(heard_us, self._heard.get(partition, heard_us))
        await self._load_reps()
        self.status.emptied = self.status.loaded and not partitions
        self.status.loaded = True
        self.status.loads += 1
        self._up()

    async def _published_us(self, newest: Entry | None) -> int:
        """When the newest entry was written, by our clock; its id is of Redis' clock."""
        now_us = self._wall_us()
        if newest is None:
            return now_us
        return now_us - max(await self._connection.now_us() - int(newest[0].partition(b"-")[0]) * 1000, 0)

    async def _load_partition(self, partition: str) -> None:
        """The fence comes first: what is read after it is as new, or newer."""
        offset, stream_us = await self._connection.fields(self._keys.fence(partition), ["offset", "stream_us"])
        for section in SECTIONS:
            seen = set()
            async for fields in self._connection.slices(self._keys.section(partition, section), FIELDS_AT_ONCE):
                for field, raw in fields.items():
                    self._view.put(partition, section, name := field.decode(), raw)
                    seen.add(name)
                await asyncio.sleep(0)
            await self._sweep(partition, section, seen)
        if offset is not None and stream_us is not None:
            self._view.published(partition, int(offset), int(stream_us))

    async def _sweep(self, partition: str, section: Section, seen: set[str]) -> None:
        """Take out what is no longer there. Raises _EmptiedError."""
        await self._require_same_data()
        for count, name in enumerate(self._view.fields(partition, section)):
            if name not in seen:
                self._view.put(partition, section, name, None)
            if count % FIELDS_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _load_reps(self) -> None:
        seen = set()
        async for fields in self._connection.slices(self._keys.reps, FIELDS_AT_ONCE):
            for rep_id, raw in fields.items():
                self._view.put_rep(name := rep_id.decode(), raw)
                seen.add(name)
            await asyncio.sleep(0)
        gone = [name for name in self._view.rep_ids() if seen and name not in seen]
        await self._require_same_data()
        for name in gone:
            self._view.put_rep(name, None)

    async def _follow(self) -> bool:
        """Take in what is new, waiting for it up to BLOCK_MS; false: entries are missing, load again."""
        entries = await self._next(BLOCK_MS)
        if not entries:
            return await self._nothing_missed()
        return await self._take(entries)

    async def _next(self, block_ms: int | None) -> list[Entry]:
        return await self._connection.after(self._keys.changes, self._last_id, ENTRIES_AT_ONCE, block_ms)

    async def _nothing_missed(self) -> bool:
        """After a silence: whether the numbering stands where we are, or goes on right after."""
        number = int(await self._connection.get(self._keys.sequence) or 0)
        if number == self.status.position:
            return True
        entries = await self._next(None)
        return bool(entries) and await self._take(entries)

    async def _take(self, entries: list[Entry]) -> bool:
        changes = _Changes()
        for entry in entries:
            if _number(entry) != self.status.position + 1:
                return False
            changes.add(entry[1])
            self.status.position += 1
        self._last_id = entries[-1][0]
        await self._read(changes)
        return True

    async def _read(self, changes: "_Changes") -> None:
        for partition in changes.resets:
            self._view.drop(partition)
            self._heard.pop(partition, None)
        for partition in changes.wholes:
            await self._load_partition(partition)
        for wanted in changes.portions():
            await self._read_fields(wanted)
        for partition, (offset, stream_us) in changes.published.items():
            self._view.published(partition, offset, stream_us)
            self._heard[partition] = self._wall_us()
        self.status.emptied = self.status.emptied and not changes.wholes

    async def _read_fields(self, wanted: "list[_Wanted]") -> None:
        keys = [self._keys.section(*one.place) if one.place else self._keys.reps for one in wanted]
        found = await self._connection.fields_of([(key, one.names) for key, one in zip(keys, wanted, strict=True)])
        await self._require_same_data()
        for one, values in zip(wanted, found, strict=True):
            for name, raw in zip(one.names, values, strict=True):
                if one.place:
                    self._view.put(*one.place, name, raw)
                else:
                    self._view.put_rep(name, raw)
        await asyncio.sleep(0)

    async def _require_same_data(self) -> None:
        """Raise _EmptiedError unless the newest entry that we know is still there; asked after values were read."""
        if self._last_id != _START and not await self._connection.has_entry(self._keys.changes, self._last_id):
            raise _EmptiedError

    def _up(self) -> None:
        self.status.down_since_us = self.status.why_down = None
        long_ago_us = self._wall_us() - SILENT_US
        self.status.silent = {partition: at_us for partition, at_us in self._heard.items() if at_us < long_ago_us}

    def _down(self, why: str) -> None:
        if self.status.down_since_us is None:
            self.status.down_since_us = self._wall_us()
        self.status.why_down = why


class _Wanted(NamedTuple):
    """Fields to read again."""

    place: tuple[str, Section] | None
    """The partition and the section; None: the directory of reps."""
    names: list[str]


class _Changes:
    """What some entries name, each thing once: only present values are read, however often they changed."""

    def __init__(self) -> None:
        self.fields: dict[tuple[str, Section], dict[str, None]] = {}
        self.wholes: dict[str, None] = {}
        self.resets: dict[str, None] = {}
        self.reps: dict[str, None] = {}
        self.published: dict[str, tuple[int, int]] = {}

    def add(self, entry: Mapping[bytes, bytes]) -> None:
        """Take note of one entry."""
        kind = entry[b"kind"]
        if kind == b"reps":
            self.reps |= dict.fromkeys(msgspec.msgpack.decode(entry[b"names"], type=list[str]))
            return
        partition = entry[b"partition"].decode()
        if kind == b"delta":
            self._add_names(partition, unpack_names(entry[b"names"]))
        else:
            self._begin_anew(partition, kind)
        if kind != b"reset":
            self.published[partition] = (int(entry[b"offset"]), int(entry[b"stream_us"]))

    def portions(self) -> Iterator[list[_Wanted]]:
        """The changed fields, CHANGES_AT_ONCE at a time."""
        portion: list[_Wanted] = []
        room = CHANGES_AT_ONCE
        for place, fields in [*self.fields.items(), (None, self.reps)]:
            names = list(fields)
            while names:
                portion.append(_Wanted(place, names[:room]))
                names, room = names[room:], room - len(portion[-1].names)
                if not room:
                    yield portion
                    portion, room = [], CHANGES_AT_ONCE
        if portion:
            yield portion

    def _add_names(self, partition: str, names: dict[Section, list[str]]) -> None:
        for section, some in names.items():
            self.fields.setdefault((partition, section), {}).update(dict.fromkeys(some))

    def _begin_anew(self, partition: str, kind: bytes) -> None:
        for section in SECTIONS:
            self.fields.pop((partition, section), None)
        self.published.pop(partition, None)
        self.wholes.pop(partition, None)
        (self.resets if kind == b"reset" else self.wholes)[partition] = None


def _number(entry: Entry) -> int:
    return int(entry[1][b"number"])
