"""The read model's fields as they are stored in Redis."""

import msgspec

from config.settings import Settings
from processors.read_model.keys import ReadModelKeys
from processors.read_model.redis_connection import RedisConnection, connect
from schemas.codec import UNREADABLE
from schemas.errors import Reason
from schemas.events import RepUpdated
from schemas.views import SECTIONS, OpenOpportunities, OpenRequest, Partial, Segment

FIELD_BATCH_SIZE = 1000
DIRECTORY = "reps"
"""The section of the directory, which is of no partition."""
TYPES: dict[str, type] = {
    "partials": Partial,
    "open": OpenRequest,
    "standing": OpenOpportunities,
    "segments": Segment,
    "quality": dict[str, int],
    "examples": str,
    DIRECTORY: RepUpdated,
}

FieldKey = tuple[str, str, str]
"""Partition, section and field."""
Fields = dict[FieldKey, bytes]


async def read_fields(settings: Settings) -> Fields:
    """Every field of every partition, and the directory; raises Unavailable."""
    connection, keys = connect(settings.redis), ReadModelKeys(settings.redis.prefix)
    found: Fields = {}
    try:
        for partition in await connection.members(keys.partitions):
            for section in SECTIONS:
                found |= await _hash(connection, keys.section(partition, section), (partition, section))
        found |= await _hash(connection, keys.reps, ("", DIRECTORY))
    finally:
        await connection.close()
    return found


async def read_positions(settings: Settings, partitions: list[str]) -> dict[str, int]:
    """How many source offsets the published state of each partition contains; raises Unavailable."""
    connection, keys = connect(settings.redis), ReadModelKeys(settings.redis.prefix)
    try:
        raw = {name: (await connection.fields(keys.fence(name), ["offset"]))[0] for name in partitions}
    finally:
        await connection.close()
    return {name: int(value) for name, value in raw.items() if value is not None}


async def read_clocks(settings: Settings) -> set[str]:
    """The clock settings that the published numbers were computed with; raises Unavailable."""
    connection, keys = connect(settings.redis), ReadModelKeys(settings.redis.prefix)
    try:
        labels = await connection.members(keys.partitions)
        raw = [(await connection.fields(keys.fence(label), ["clock"]))[0] for label in labels]
    finally:
        await connection.close()
    return {clock.decode() for clock in raw if clock}


async def _hash(connection: RedisConnection, key: str, prefix: tuple[str, str]) -> Fields:
    return {
        (*prefix, field.decode()): value
        async for piece in connection.scan(key, FIELD_BATCH_SIZE)
        for field, value in piece.items()
    }


def equal(section: str, one: bytes | None, other: bytes | None) -> bool:
    """Whether two values are equal, whatever the order of their keys."""
    if section == "quality":
        return _refoldable(one) == _refoldable(other)
    if one is None or other is None or one == other:
        return one == other
    kind = TYPES[section]
    try:
        return bool(msgspec.msgpack.decode(one, type=kind) == msgspec.msgpack.decode(other, type=kind))
    except UNREADABLE:
        return False


def _refoldable(value: bytes | None) -> dict[str, int] | None:
    """Counts of a day, but for keys: an earlier version read the same records and did not look at them."""
    try:
        counts = {} if value is None else msgspec.msgpack.decode(value, type=dict[str, int])
    except UNREADABLE:
        return None
    return {reason: count for reason, count in counts.items() if reason != Reason.KEY_MISMATCH}


def readable(section: str, value: bytes | None) -> str:
    """A value for people; `-` for none."""
    if value is None:
        return "-"
    try:
        return msgspec.json.encode(msgspec.msgpack.decode(value, type=TYPES[section])).decode()
    except UNREADABLE:
        return repr(value)
