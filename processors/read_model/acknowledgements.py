"""Acknowledged and snoozed turns: one hash in Redis, which the board writes and the notifier honours.

A hold covers a turn with all its levels. An acknowledgement holds until it is released or the turn ends, a snooze until
its instant. Each change is recorded on a topic before it takes effect.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple, Protocol

import msgspec

from processors.core.time.instants import DAY_US, rfc3339
from processors.read_model.redis_connection import RedisConnection
from schemas.alerts import Transition
from schemas.codec import UNREADABLE
from schemas.errors import UsageError
from schemas.events import Id

logger = logging.getLogger(__name__)

HoldAction = Literal["acknowledged", "snoozed", "released"]

SCAN_BATCH_SIZE = 500
MAX_NAME_CHARACTERS = 128
MAX_FOREIGN_FIELDS_LOGGED = 100
"""The log names no more fields than this that are no holds."""
KEEP_ENDED_SNOOZE_US = DAY_US
"""How long a snooze that has ended is kept, for those who ask what happened."""

_PUT = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return 1"
_DROP = "return redis.call('HDEL', KEYS[1], unpack(ARGV))"


class TurnKey(NamedTuple):
    """A turn of a request of a customer."""

    customer_id: str
    request_id: str
    turn: int


class TurnHold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody takes care of a turn. Instants are microseconds since 1970, by Salespulse's clock."""

    by: str
    at_us: int
    until_us: int | None = None
    """The end of a snooze; None: an acknowledgement."""

    def is_in_force(self, now_us: int) -> bool:
        """Whether it still holds at an instant."""
        return self.until_us is None or now_us < self.until_us

    def __str__(self) -> str:
        if self.until_us is None:
            return f"acknowledged by {self.by}"
        return f"snoozed by {self.by} until {rfc3339(self.until_us)}"


class HoldEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="request.hold"):
    """A change of a hold, on the topic of acknowledgements, under the same key as in the hash."""

    action: HoldAction
    customer_id: Id
    request_id: Id
    turn: int
    by: str
    at_us: int
    until_us: int | None = None


class HoldRecorder(Protocol):
    """Where acknowledgements are recorded."""

    async def record(self, key: bytes, value: bytes) -> None:
        """Return when the `HoldEvent` is durable; raises Unavailable."""


_hold = msgspec.json.Decoder(TurnHold)


def turn_of(transition: Transition) -> TurnKey:
    """The turn that an alert is about."""
    return TurnKey(transition.customer_id, transition.request_id, transition.turn)


def field_of(key: TurnKey) -> str:
    """`customer|request|turn`; `%` and `|` within an id are written `%25` and `%7C`."""
    return f"{_quoted(key.customer_id)}|{_quoted(key.request_id)}|{key.turn}"


def key_of(field: str) -> TurnKey:
    """The reverse of `field_of`; raises ValueError for anything that it does not make."""
    customer_id, request_id, turn = field.split("|")
    return TurnKey(_unquoted(customer_id), _unquoted(request_id), int(turn))


def in_force(holds: Mapping[TurnKey, TurnHold], now_us: int) -> dict[TurnKey, TurnHold]:
    """The holds that still hold at an instant."""
    return {key: hold for key, hold in holds.items() if hold.is_in_force(now_us)}


def obsolete(holds: Mapping[TurnKey, TurnHold], now_us: int, keep_us: int) -> list[TurnKey]:
    """Holds that nobody needs any more: snoozes that ended a day ago, and any older than `keep_us`."""
    return [
        key
        for key, hold in holds.items()
        if (hold.until_us is not None and now_us > hold.until_us + KEEP_ENDED_SNOOZE_US)
        or now_us > hold.at_us + keep_us
    ]


class HoldStore:
    """The holds of one installation. Its methods raise Unavailable when Redis or the recorder does not answer."""

    def __init__(
        self, connection: RedisConnection, prefix: str, recorder: HoldRecorder, now_us: Callable[[], int]
    ) -> None:
        """`now_us` gives the present instant by Salespulse's clock."""
        self._connection = connection
        self._hash = f"{prefix}:acks"
        self._foreign: set[bytes] = set()
        self._recorder = recorder
        self._now_us = now_us

    async def acknowledge(self, customer_id: str, request_id: str, turn: int, by: str) -> TurnHold:
        """Hold a turn until it is released or ends. Raises UsageError for an invalid name."""
        return await self._hold(TurnKey(customer_id, request_id, turn), by, None)

    async def snooze(self, customer_id: str, request_id: str, turn: int, by: str, until_us: int) -> TurnHold:
        """Hold a turn until an instant. Raises UsageError for an instant that has passed, or an invalid name."""
        return await self._hold(TurnKey(customer_id, request_id, turn), by, until_us)

    async def release(self, customer_id: str, request_id: str, turn: int, by: str) -> bool:
        """Release a turn: its alerts are sent again if they are still active. False: it had no hold."""
        key = TurnKey(customer_id, request_id, turn)
        _check_name(by)
        if key not in await self.all():
            return False
        await self._record("released", key, TurnHold(by=by, at_us=self._now_us()))
        await self.drop([key])
        return True

    async def all(self) -> dict[TurnKey, TurnHold]:
        """Every hold that was not released, also snoozes that have just ended. Fields that are no holds are skipped."""
        holds = {}
        async for fields in self._connection.scan(self._hash, SCAN_BATCH_SIZE):
            for field, raw in fields.items():
                try:
                    holds[key_of(field.decode())] = _hold.decode(raw)
                except (*UNREADABLE, ValueError) as error:
                    self._warn(field, error)
        return holds

    def _warn(self, field: bytes, error: Exception) -> None:
        """Log a field that somebody else has written, once."""
        if field not in self._foreign and len(self._foreign) < MAX_FOREIGN_FIELDS_LOGGED:
            self._foreign.add(field)
            remedy = f"delete it with HDEL {self._hash}"
            logger.warning(
                "%s in Redis has a field %r that is no hold (%s): %s", self._hash, field[:100], error, remedy
            )

    async def drop(self, keys: Iterable[TurnKey]) -> None:
        """Delete holds without a record, since their turns have ended."""
        fields = [field_of(key) for key in keys]
        for first in range(0, len(fields), SCAN_BATCH_SIZE):
            await self._connection.run_script(_DROP, [self._hash], fields[first : first + SCAN_BATCH_SIZE])

    async def _hold(self, key: TurnKey, by: str, until_us: int | None) -> TurnHold:
        _check_name(by)
        now_us = self._now_us()
        if until_us is not None and until_us <= now_us:
            raise UsageError(f"until {rfc3339(until_us)} has passed: it is {rfc3339(now_us)}")
        hold = TurnHold(by=by, at_us=now_us, until_us=until_us)
        await self._connection.fields(self._hash, [field_of(key)])  # fails before anything is recorded
        await self._record("acknowledged" if until_us is None else "snoozed", key, hold)
        await self._connection.run_script(_PUT, [self._hash], [field_of(key), msgspec.json.encode(hold)])
        return hold

    async def _record(self, action: HoldAction, key: TurnKey, hold: TurnHold) -> None:
        event = HoldEvent(action=action, **key._asdict(), **msgspec.structs.asdict(hold))
        await self._recorder.record(field_of(key).encode(), msgspec.json.encode(event))


def _check_name(by: str) -> None:
    if not 1 <= len(by) <= MAX_NAME_CHARACTERS:
        raise UsageError(f"by {by[:MAX_NAME_CHARACTERS]!r}: allowed is a name of 1 to {MAX_NAME_CHARACTERS} characters")


def _quoted(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C")


def _unquoted(text: str) -> str:
    return text.replace("%7C", "|").replace("%25", "%")
