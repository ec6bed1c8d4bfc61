"""The typed connection to Redis. Every failure of it raises Unavailable."""

from asyncio import CancelledError, current_task
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from ssl import TLSVersion
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from config.settings import RedisSettings
from schemas.errors import Unavailable

StreamEntry = tuple[bytes, Mapping[bytes, bytes]]
"""An entry of a stream: its id and its fields."""

REDIS_TIMEOUT_SECONDS = 5.0
"""For connecting and for each answer; longer than any blocking read waits."""


class RedisRefused(Unavailable):
    """Redis answered with an error; `answer` holds its class and its text."""

    def __init__(self, message: str, answer: str) -> None:
        super().__init__(message)
        self.answer = answer


class RedisConnection:
    """The few commands that the read model needs. Each raises Unavailable when Redis fails."""

    def __init__(self, redis: Redis, url: str) -> None:
        self._redis = redis
        self._url = url

    async def run_script(self, script: str, keys: Sequence[str], arguments: Sequence[bytes | str | int]) -> bytes:
        """Run a Lua script, which Redis caches; returns its answer as bytes, integers as digits."""
        with self._errors():
            known = self._redis.register_script(script)
            answer = await known(keys=list(keys), args=list(arguments))
        return answer if isinstance(answer, bytes) else str(answer).encode()

    async def get(self, key: str) -> bytes | None:
        """A plain value."""
        with self._errors():
            return cast("bytes | None", await self._redis.get(key))

    async def now_us(self) -> int:
        """The clock of Redis, in microseconds since 1970."""
        with self._errors():
            seconds, microseconds = await self._redis.time()
        return int(seconds) * 1_000_000 + int(microseconds)

    async def info(self) -> Mapping[str, object]:
        """The answer of INFO."""
        with self._errors():
            return cast("Mapping[str, object]", await self._redis.info())

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete keys, whether they exist or not."""
        with self._errors():
            for key in keys:
                await self._redis.delete(key)

    async def members(self, key: str) -> set[str]:
        """The members of a set."""
        with self._errors():
            return {cast("bytes", member).decode() for member in await self._redis.smembers(key)}

    async def field_names(self, key: str) -> list[bytes]:
        """The names of a hash's fields."""
        with self._errors():
            return cast("list[bytes]", await self._redis.hkeys(key))

    async def fields(self, key: str, names: Sequence[str]) -> list[bytes | None]:
        """The values of a hash's fields, None for missing ones."""
        with self._errors():
            return cast("list[bytes | None]", await self._redis.hmget(key, list(names)))

    async def fields_of(self, wanted: Sequence[tuple[str, Sequence[str]]]) -> list[list[bytes | None]]:
        """The values of fields of several hashes, in one round trip."""
        with self._errors():
            pipeline = self._redis.pipeline(transaction=False)
            for key, names in wanted:
                pipeline.hmget(key, list(names))
            return cast("list[list[bytes | None]]", await pipeline.execute())

    async def scan(self, key: str, count: int) -> AsyncIterator[dict[bytes, bytes]]:
        """A hash, some fields at a time; a field that stays throughout comes at least once."""
        cursor = 0
        while True:
            with self._errors():
                cursor, fields = await self._redis.hscan(key, cursor, count=count)
            yield cast("dict[bytes, bytes]", fields)
            if not cursor:
                return

    async def newest_entry(self, stream: str) -> StreamEntry | None:
        """The newest entry of a stream."""
        with self._errors():
            entries = cast("list[StreamEntry]", await self._redis.xrevrange(stream, count=1))
        return entries[0] if entries else None

    async def has_entry(self, stream: str, entry_id: bytes) -> bool:
        """Whether a stream has an entry of this id."""
        with self._errors():
            return bool(await self._redis.xrange(stream, entry_id, entry_id, count=1))

    async def entries_after(self, stream: str, last_id: bytes, count: int, block_ms: int | None) -> list[StreamEntry]:
        """Entries after an id, oldest first. Without any, waits for at most `block_ms` milliseconds, if given."""
        with self._errors():
            answer = await self._redis.xread({stream: last_id}, count=count, block=block_ms)
        return cast("list[tuple[bytes, list[StreamEntry]]]", answer)[0][1] if answer else []

    async def close(self) -> None:
        """Close all connections."""
        with self._errors():
            await self._redis.aclose()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        before = _cancellations()
        try:
            yield
        except (ResponseError, AuthenticationError) as error:
            raise RedisRefused(f"Redis at {self._url} refuses: {error}", f"{type(error).__name__} {error}") from error
        except (RedisError, OSError) as error:
            raise Unavailable(f"Redis at {self._url} does not answer: {error or type(error).__name__}") from error
        finally:
            if _cancellations() > before:  # redis-py's own timeouts now and then swallow the cancellation of our task
                raise CancelledError


def _cancellations() -> int:
    task = current_task()
    return 0 if task is None else task.cancelling()


def connect(settings: RedisSettings) -> RedisConnection:
    """A connection made at its first use. Raises Unavailable when a file for TLS cannot be read."""
    # One retry covers a connection that Redis has closed meanwhile; further ones are up to the caller.
    retry: Retry = Retry(NoBackoff(), 1)
    redis = Redis.from_url(
        settings.url,
        protocol=2,
        password=settings.password.reveal() if settings.password else None,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        retry=retry,
        **_tls(settings),
    )
    return RedisConnection(redis, settings.url)


def _tls(settings: RedisSettings) -> dict[str, Any]:
    """What `rediss://` needs beyond the URL: the authority behind the server's certificate, and our certificate."""
    if not settings.url.startswith("rediss://"):
        return {}
    options: dict[str, Any] = {"ssl_min_version": TLSVersion.TLSv1_2}
    for key, option in (
        ("tls_cafile", "ssl_ca_certs"),
        ("tls_certfile", "ssl_certfile"),
        ("tls_keyfile", "ssl_keyfile"),
    ):
        path: Path | None = getattr(settings, key)
        if path is None:
            continue
        if not path.is_file():
            raise Unavailable(f"Redis at {settings.url}: redis.{key} = {path} is no file")
        options[option] = str(path)
    return options
