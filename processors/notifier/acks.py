"""Acknowledged and snoozed turns: one hash in Redis, which the board writes and the notifier honours.

A hold is about a turn, not about one level of it. An acknowledgement holds until it is released or the turn ends, a
snooze until its instant. Each of them is recorded before it takes effect.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple, Protocol

import msgspec

from processors.core.time.instants import DAY_US, rfc3339
from processors.sinks.redis_client import Connection
from schemas.alerts import Transition
from schemas.codec import UNREADABLE
from schemas.errors import UsageError
from schemas.events import Id

logger = logging.getLogger(__name__)

Action = Literal["acknowledged", "snoozed", "released"]

FIELDS_AT_ONCE = 500
LONGEST_NAME = 128
MAX_FOREIGN = 100
"""So many fields that are no holds are named in the log."""
KEPT_AFTER_END_US = DAY_US
"""A snooze that has ended stays so long, for those who ask what happened."""

_PUT = "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return 1"
_DROP = "return redis.call('HDEL', KEYS[1], unpack(ARGV))"


class TurnKey(NamedTuple):
    """A turn of a request of a customer."""

    customer_id: str
    request_id: str
    turn: int


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody has taken care of a turn. Instants are microseconds since 1970, by Salespulse's clock."""

    by: str
    at_us: int
    until_us: int | None = None
    """The end of a snooze; None: an acknowledgement."""

    def lasts(self, now_us: int) -> bool:
        """Whether it holds at an instant."""
        return self.until_us is None or now_us < self.until_us

    def __str__(self) -> str:
        if self.until_us is None:
            return f"acknowledged by {self.by}"
        return f"snoozed by {self.by} until {rfc3339(self.until_us)}"


class AckEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="request.hold"):
    """What somebody did about a turn, on the topic of acknowledgements, keyed as the hash's fields are."""

    action: Action
    customer_id: Id
    request_id: Id
    turn: int
    by: str
    at_us: int
    until_us: int | None = None


class Recorder(Protocol):
    """Where acknowledgements are recorded."""

    async def record(self, key: bytes, event: AckEvent) -> None:
        """Return when it is durable; raises Unavailable."""


_hold = msgspec.json.Decoder(Hold)


def turn_of(transition: Transition) -> TurnKey:
    """The turn that an alert is about."""
    return TurnKey(transition.customer_id, transition.request_id, transition.turn)


def field_of(key: TurnKey) -> str:
    """`customer|request|turn`; `%` and `|` within an id are written `%25` and `%7C`."""
    return f"{_quoted(key.customer_id)}|{_quoted(key.request_id)}|{key.turn}"


def key_of(field: str) -> TurnKey:
    """The reverse of `field_of`; raises ValueError for what it never makes."""
    customer_id, request_id, turn = field.split("|")
    return TurnKey(_unquoted(customer_id), _unquoted(request_id), int(turn))


def lasting(holds: Mapping[TurnKey, Hold], now_us: int) -> dict[TurnKey, Hold]:
    """Those that hold at an instant."""
    return {key: hold for key, hold in holds.items() if hold.lasts(now_us)}


def outlived(holds: Mapping[TurnKey, Hold], now_us: int, kept_us: int) -> list[TurnKey]:
    """What nobody needs any more: snoozes that ended a day ago, and acknowledgements older than requests are kept."""
    return [
        key
        for key, hold in holds.items()
        if (hold.until_us is not None and now_us > hold.until_us + KEPT_AFTER_END_US) or now_us > hold.at_us + kept_us
    ]


class Acks:
    """The holds of one installation. Everything raises Unavailable when Redis, or the record, does not answer."""

    def __init__(self, connection: Connection, prefix: str, recorder: Recorder, now_us: Callable[[], int]) -> None:
        """`now_us`: the present instant by Salespulse's clock."""
        self._connection = connection
        self._hash = f"{prefix}:acks"
        self._foreign: set[bytes] = set()
        self._recorder = recorder
        self._now_us = now_us

    async def acknowledge(self, customer_id: str, request_id: str, turn: int, by: str) -> Hold:
        """Hold a turn until it is released or ends. Raises UsageError for a name that is none."""
        return await self._hold(TurnKey(customer_id, request_id, turn), by, None)

    async def snooze(self, customer_id: str, request_id: str, turn: int, by: str, until_us: int) -> Hold:
        """Hold a turn until an instant. Raises UsageError for an instant that has passed, or a name that is none."""
        return await self._hold(TurnKey(customer_id, request_id, turn), by, until_us)

    async def release(self, customer_id: str, request_id: str, turn: int, by: str) -> bool:
        """Let go of a turn: its alert is told again if it is still active. False: nothing held it."""
        key = TurnKey(customer_id, request_id, turn)
        _check_name(by)
        if key not in await self.all():
            return False
        await self._record("released", key, Hold(by=by, at_us=self._now_us()))
        await self.drop([key])
        return True

    async def all(self) -> dict[TurnKey, Hold]:
        """Every hold that was not released, also snoozes that have just ended. A field that is none is passed over."""
        holds = {}
        async for fields in self._connection.slices(self._hash, FIELDS_AT_ONCE):
            for field, raw in fields.items():
                try:
                    holds[key_of(field.decode())] = _hold.decode(raw)
                except (*UNREADABLE, ValueError) as error:
                    self._warn(field, error)
        return holds

    def _warn(self, field: bytes, error: Exception) -> None:
        """Say once what somebody else has written, for the first of such fields."""
        if field not in self._foreign and len(self._foreign) < MAX_FOREIGN:
            self._foreign.add(field)
            mend = f"delete it with HDEL {self._hash}"
            logger.warning("%s in Redis has a field %r that is no hold (%s): %s", self._hash, field[:100], error, mend)

    async def drop(self, keys: Iterable[TurnKey]) -> None:
        """Forget holds without a record: their turns have ended."""
        fields = [field_of(key) for key in keys]
        for first in range(0, len(fields), FIELDS_AT_ONCE):
            await self._connection.run(_DROP, [self._hash], fields[first : first + FIELDS_AT_ONCE])

    async def _hold(self, key: TurnKey, by: str, until_us: int | None) -> Hold:
        _check_name(by)
        now_us = self._now_us()
        if until_us is not None and until_us <= now_us:
            raise UsageError(f"until {rfc3339(until_us)} has passed: it is {rfc3339(now_us)}")
        hold = Hold(by=by, at_us=now_us, until_us=until_us)
        await self._connection.fields(self._hash, [field_of(key)])  # a Redis that is away is to be noticed beforehand
        await self._record("acknowledged" if until_us is None else "snoozed", key, hold)
        await self._connection.run(_PUT, [self._hash], [field_of(key), msgspec.json.encode(hold)])
        return hold

    async def _record(self, action: Action, key: TurnKey, hold: Hold) -> None:
        event = AckEvent(action=action, **key._asdict(), **msgspec.structs.asdict(hold))
        await self._recorder.record(field_of(key).encode(), event)


def _check_name(by: str) -> None:
    if not 1 <= len(by) <= LONGEST_NAME:
        raise UsageError(f"by {by[:LONGEST_NAME]!r}: allowed is a name of 1 to {LONGEST_NAME} characters")


def _quoted(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C")


def _unquoted(text: str) -> str:
    return text.replace("%7C", "|").replace("%25", "%")
