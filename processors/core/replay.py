"""The pure core over a stream of messages, without Kafka: `salespulse replay`, tests and backtests."""

from collections.abc import Iterable
from typing import Any
from zlib import crc32

from processors.core.directory import directory_of
from processors.core.instants import instant_us
from processors.core.ledger import Ledger
from processors.core.report import Report
from schemas.errors import BadRecord, Reason
from schemas.events import Event, Message, RepUpdated
from schemas.policy import Policy


class Replay:
    """Feeds messages into as many ledgers as there are partitions, and reports at the end. Time moves once, then."""

    def __init__(self, policy: Policy, as_of_us: int | None = None, partitions: int = 1) -> None:
        self._policy = policy
        self._as_of_us = as_of_us
        self.directory = directory_of(policy)
        self.ledgers = [Ledger(policy, self.directory) for _ in range(partitions)]
        self._changed_reps: set[str] = set()
        self.rejected: list[tuple[Message, BadRecord]] = []
        self.counts = {"read": 0, "applied": 0, "duplicate": 0, "too_late": 0, "malformed": 0, "after_as_of": 0}

    def take(self, message: Message) -> None:
        """Apply one message. What cannot count is kept in `rejected` with its reason."""
        self.counts["read"] += 1
        try:
            if isinstance(message, RepUpdated):
                self._take_rep(message)
            else:
                self._take_event(message)
        except BadRecord as error:
            self.reject(message, error)

    def reject(self, message: Message, error: BadRecord) -> None:
        """Count a message that cannot count."""
        self.rejected.append((message, error))
        self.count_bad(error)

    def count_bad(self, error: BadRecord) -> None:
        """Count something that is not even a message."""
        self.counts["too_late" if error.reason is Reason.TOO_LATE else "malformed"] += 1

    def _take_rep(self, rep: RepUpdated) -> None:
        if self.directory.put(rep):
            self._changed_reps.add(rep.rep_id)
        self.counts["applied"] += 1

    def _take_event(self, event: Event) -> None:
        if self._as_of_us is not None and instant_us(event.occurred_at) > self._as_of_us:
            self.counts["after_as_of"] += 1
            return
        self.counts[self.ledger_of(event.customer_id).apply(event)] += 1

    def ledger_of(self, customer_id: str) -> Ledger:
        """The ledger of a customer's partition."""
        return self.ledgers[crc32(customer_id.encode()) % len(self.ledgers)]

    def finish(self) -> int:
        """Move time to the end, and settle; the instant reached (microseconds since 1970)."""
        end_us = self._as_of_us
        if end_us is None:
            end_us = max(0, *(ledger.stream_us for ledger in self.ledgers))
        for ledger in self.ledgers:
            ledger.reps_changed(self._changed_reps)
            ledger.advance(end_us)
            ledger.settle()
        return end_us

    def report(self) -> dict[str, Any]:
        """The report at the end."""
        end_us = self.finish()
        return Report(self.ledgers, self.directory, self._policy, end_us).build(self.counts)


def replay(
    messages: Iterable[Message], policy: Policy, as_of_us: int | None = None, partitions: int = 1
) -> dict[str, Any]:
    """The report over messages in any order."""
    run = Replay(policy, as_of_us, partitions)
    for message in messages:
        run.take(message)
    return run.report()
