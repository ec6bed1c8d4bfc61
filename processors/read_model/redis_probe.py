"""Checks whether a Redis is fit for the read model, by writing and reading one under a prefix of its own."""

import logging
from collections.abc import Iterable, Mapping
from uuid import uuid4

import msgspec

from config.settings import RedisSettings
from processors.read_model.follower import Follower
from processors.read_model.keys import ReadModelKeys
from processors.read_model.publication import PublicationOutcome
from processors.read_model.redis_connection import RedisConnection, RedisRefused, connect
from processors.read_model.writer import ReadModelWriter
from schemas.errors import Unavailable
from schemas.events import RepUpdated
from schemas.views import SECTIONS, Changes, Section

logger = logging.getLogger(__name__)

PARTITIONS = ("check/0", "check/1")
CLUSTER = "is in cluster mode, which is not supported: name a server with cluster-enabled no in redis.url"
RIGHTS = "all keys below redis.prefix and the commands +@all -@dangerous +info (ACL SETUSER)"
REMEDIES = {
    "ReadOnlyError": "it is a replica, or read-only: name the primary in redis.url",
    "OutOfMemoryError": "it is full: raise maxmemory, or see what else it holds",
    "OOM": "it is full: raise maxmemory, or see what else it holds",
    "NoPermissionError": f"let the user have {RIGHTS}",
    "can't run this command": f"let the user have {RIGHTS}",
    "can't access": f"let the user have {RIGHTS}",
    "MovedError": CLUSTER,
    "ClusterCrossSlotError": CLUSTER,
    "ClusterDownError": CLUSTER,
    "MISCONF": 'it cannot save to its disk, and so accepts nothing: repair the disk, or set save ""',
    "AuthenticationError": "set the password in redis.password_file right, and the user's name in redis.url",
}
"""What to do about an error of Redis, by its class or by words in it."""

Info = Mapping[str, object]


async def probe_redis(settings: RedisSettings) -> None:
    """Do with a Redis all that workers and boards do; raises Unavailable with what is wrong and what to do."""
    connection = connect(settings)
    prefix = f"{settings.prefix}:check-{uuid4().hex}"
    try:
        _check_info(settings, await _info_if_allowed(connection))
        await _try_everything(connection, prefix)
    except RedisRefused as error:
        raise _with_remedy(error) from error
    finally:
        await connection.close()


async def warn_of_cluster(settings: RedisSettings) -> None:
    """Log one line when Redis is in cluster mode; one that does not answer is reported elsewhere."""
    connection = connect(settings)
    try:
        if _is_cluster(await connection.info()):
            logger.error("Redis at %s %s", settings.url, CLUSTER)
    except Unavailable:
        return
    finally:
        await connection.close()


async def _info_if_allowed(connection: RedisConnection) -> Info:
    """The answer of INFO; empty for users without the right to it."""
    try:
        return await connection.info()
    except RedisRefused as error:
        if "NoPermissionError" in error.answer:
            return {}
        raise


def _check_info(settings: RedisSettings, info: Info) -> None:
    server = f"Redis at {settings.url}"
    if _is_cluster(info):
        raise Unavailable(f"{server} {CLUSTER}")
    if info.get("role", "master") != "master":
        primary = f"{info.get('master_host')}:{info.get('master_port')}"
        raise Unavailable(f"{server} is a replica of {primary}: name the primary in redis.url")
    policy, limit = info.get("maxmemory_policy", "noeviction"), int(str(info.get("maxmemory", 0)))
    if limit and policy != "noeviction":
        remedy = "numbers would vanish: set maxmemory-policy noeviction"
        raise Unavailable(f"{server} evicts keys when it is full (maxmemory-policy {policy}), and {remedy}")


def _is_cluster(info: Info) -> bool:
    return str(info.get("cluster_enabled", 0)) == "1"


async def _try_everything(connection: RedisConnection, prefix: str) -> None:
    model, view = ReadModelWriter(connection, prefix), _CountingView()
    try:
        for partition in PARTITIONS:
            for offset, whole in ((1, True), (2, False)):
                outcome = await model.publish(partition, offset, _changes(str(offset)), whole=whole)
                if outcome is not PublicationOutcome.ACCEPTED:
                    raise Unavailable(f"Redis does not keep what is written: a publication to {prefix} was {outcome}")
        await model.put_rep(RepUpdated(rep_id="check", name="check"), 1)
        await Follower(connection, prefix, view, lambda: 0).read_once()
        if view.values != len(PARTITIONS) * len(SECTIONS):
            raise Unavailable(f"Redis gives {view.values} of {len(PARTITIONS) * len(SECTIONS)} values back")
    finally:
        await connection.delete(_keys(prefix))


def _changes(value: str) -> Changes:
    return Changes({section: {"check": msgspec.msgpack.encode(value)} for section in SECTIONS}, {})


def _keys(prefix: str) -> list[str]:
    keys = ReadModelKeys(prefix)
    return [*(key for one in PARTITIONS for key in keys.publication(one)), keys.reps, keys.rep_offsets]


def _with_remedy(error: RedisRefused) -> Unavailable:
    remedy = next((remedy for text, remedy in REMEDIES.items() if text in error.answer), None)
    return Unavailable(str(error) if remedy is None else f"{error}: {remedy}")


class _CountingView:
    """Counts the values that are read."""

    def __init__(self) -> None:
        self.values = 0

    def put(self, partition: str, section: Section, field: str, raw: bytes | None) -> None:  # noqa: ARG002
        self.values += raw == msgspec.msgpack.encode("2")

    def put_rep(self, rep_id: str, raw: bytes | None) -> None:
        """Nothing to do."""

    def published(self, partition: str, offset: int, stream_us: int) -> None:
        """Nothing to do."""

    def fields(self, partition: str, section: Section) -> Iterable[str]:  # noqa: ARG002
        return ()

    def rep_ids(self) -> Iterable[str]:
        return ()

    def drop(self, partition: str) -> None:
        """Nothing to do."""
