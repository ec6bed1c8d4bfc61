"""How long this worker may act as the owner of its partitions: the group's coordinator renews it by its answers.

A worker that is cut off from Kafka is not told that its partitions went to another one. So it acts as their owner only
as long as no other can be: the coordinator gives them away a session after the last heartbeat, and the lease, counted
from when that heartbeat was sent, ends before. Time is monotonic: clocks that are set change nothing, and a process
that was stopped finds its lease over.
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
"""Of the session. The rest is for what is on its way when the lease ends: see SEND_SHARE."""
SEND_SHARE = 1 / 3
"""Of the session: what is sent under the lease, and not acknowledged after it, is given up by the producer."""
EXPELLED_ERRORS = (UnknownMemberIdError, IllegalGenerationError)

Send = Callable[[Any], Awaitable[Any]]


class Lease:
    """Whether the coordinator has confirmed lately that this worker is a member of the present generation.

    The consumer's thread renews it, and the worker's own one reads it: each call touches one value, once.
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
        """Whether no other worker can own our partitions yet."""
        return self._monotonic() - self._asked_at <= self._seconds

    def confirmed_after(self, instant: float) -> bool:
        """Whether it holds by a question that was asked after an instant (monotonic seconds)."""
        return self._asked_at > instant and self.holds

    def renew(self, asked_at: float) -> None:
        """The coordinator has confirmed the membership, asked at this instant (monotonic seconds)."""
        self._asked_at = asked_at

    def end(self) -> None:
        """The coordinator knows us no more."""
        self._asked_at = -math.inf


def renewing(send: Send, lease: Lease) -> Send:
    """The sending of requests to the coordinator, whose answers now renew a lease, or end it.

    While the group rebalances, an answer renews nothing: who does not join in time is left out.
    """

    async def send_and_learn(request: Any) -> Any:
        asked_at = lease.now()
        response = await send(request)
        if isinstance(request, HeartbeatRequest | SyncGroupRequest):
            error = for_code(response.error_code)
            if error is NoError:
                lease.renew(asked_at)
            elif error in EXPELLED_ERRORS:
                lease.end()
        return response

    return send_and_learn
