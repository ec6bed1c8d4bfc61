"""How long this worker may act as the owner of its partitions. Answers of the group's coordinator renew the lease.

A worker that is cut off from Kafka does not hear that its partitions went to another worker. So it acts as their owner
only while no other worker can be: the coordinator reassigns them one session after the last heartbeat, and the lease,
counted from the moment that heartbeat was *sent*, ends earlier. Time is monotonic, so setting a clock changes nothing,
and a process that was suspended finds its lease expired.
"""

import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka.errors import (
    IllegalGenerationError,
    NoError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.protocol.group import HeartbeatRequest, SyncGroupRequest

LEASE_SHARE = 2 / 3
"""The lease's share of the session. The rest is for records on their way when the lease ends: see SEND_SHARE."""
SEND_SHARE = 1 / 3
"""Share of the session after which the producer gives up a record: before another worker can own the partition."""
EXPELLED_ERRORS = (UnknownMemberIdError, IllegalGenerationError)

Send = Callable[[Any], Awaitable[Any]]


class Lease:
    """Whether the coordinator has lately confirmed this worker as a member of the present generation.

    The consumer's thread renews it, the worker's main thread reads it. Each call reads or writes one value once, so no
    lock is needed.
    """

    def __init__(self, session_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = session_seconds * LEASE_SHARE
        self._monotonic = monotonic
        self._asked_at = -math.inf

    def now(self) -> float:
        """Monotonic seconds."""
        return self._monotonic()

    @property
    def holds(self) -> bool:
        """Whether no other worker can own our partitions."""
        return self._monotonic() - self._asked_at <= self._seconds

    def confirmed_after(self, instant: float) -> bool:
        """Whether it holds by a request that was sent after an instant (monotonic seconds)."""
        return self._asked_at > instant and self.holds

    def renew(self, asked_at: float) -> None:
        """The coordinator has confirmed our membership. `asked_at`: when the request was sent (monotonic seconds)."""
        self._asked_at = asked_at

    def end(self) -> None:
        """The coordinator has expelled us."""
        self._asked_at = -math.inf


def renewing(send: Send, lease: Lease) -> Send:
    """Wrap the sending of requests to the coordinator, so that answers renew a lease or end it.

    An answer that says "rebalancing" renews nothing: a member that does not rejoin in time is expelled.
    """

    async def send_and_renew(request: Any) -> Any:
        asked_at = lease.now()
        response = await send(request)
        if isinstance(request, HeartbeatRequest | SyncGroupRequest):
            error = for_code(response.error_code)
            if error is NoError:
                lease.renew(asked_at)
            elif error in EXPELLED_ERRORS:
                lease.end()
        return response

    return send_and_renew
