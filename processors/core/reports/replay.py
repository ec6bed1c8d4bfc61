"""The pure core over a stream of messages, without Kafka: `salespulse replay`, tests and backtests."""

from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

from processors.core.ledger.data_quality import DataQuality, by_window
from processors.core.ledger.ledger import Ledger
from processors.core.ledger.retention import ORPHAN_AFTER_US
from processors.core.reports.report import Report
from processors.core.state.customers import Customer
from processors.core.state.directory import directory_of
from processors.core.time.instants import DAY_US, instant_us
from processors.core.time.zones import zone_days
from schemas.errors import BadRecord, Reason
from schemas.events import Event, Message, RepUpdated, RequestOpened
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
        self._wrong: list[tuple[int | None, Reason]] = []
        """Day and reason of what could not count, or came twice; None: it has no day."""
        self.counts = {"read": 0, "applied": 0, "duplicate": 0, "too_late": 0, "malformed": 0, "after_as_of": 0}

    def add(self, message: Message) -> None:
        """Apply one message. What cannot count is kept in `rejected` with its reason."""
        self.counts["read"] += 1
        try:
            if isinstance(message, RepUpdated):
                self._add_rep(message)
            else:
                self._add_event(message)
        except BadRecord as error:
            self.reject(message, error)

    def reject(self, message: Message, error: BadRecord) -> None:
        """Count a message that cannot count."""
        self.rejected.append((message, error))
        self.count_bad(error, _day_of(message))

    def count_bad(self, error: BadRecord, day: int | None = None) -> None:
        """Count something that cannot count; without a day, it is not even a message."""
        self._wrong.append((day, error.reason))
        self.counts["too_late" if error.reason is Reason.TOO_LATE else "malformed"] += 1

    def _add_rep(self, rep: RepUpdated) -> None:
        if self.directory.put(rep):
            self._changed_reps.add(rep.rep_id)
        self.counts["applied"] += 1

    def _add_event(self, event: Event) -> None:
        if self._as_of_us is not None and instant_us(event.occurred_at) > self._as_of_us:
            self.counts["after_as_of"] += 1
            return
        outcome = self.ledger_of(event.customer_id).apply(event)
        self.counts[outcome] += 1
        if outcome == "duplicate":
            self._wrong.append((_day_of(event), Reason.DUPLICATE))

    def ledger_of(self, customer_id: str) -> Ledger:
        """The ledger of a customer's partition."""
        return self.ledgers[crc32(customer_id.encode()) % len(self.ledgers)]

    def finish(self) -> int:
        """Move time to the end, and refold; the instant reached (microseconds since 1970)."""
        end_us = self._as_of_us
        if end_us is None:
            end_us = max(0, *(ledger.stream_us for ledger in self.ledgers))
        for ledger in self.ledgers:
            ledger.reps_changed(self._changed_reps)
            ledger.advance(end_us)
            ledger.refold()
        return end_us

    def report(self) -> dict[str, Any]:
        """The report at the end."""
        end_us = self.finish()
        return Report(self.ledgers, self.directory, self._policy, end_us).build(self.counts)

    def quality(self) -> dict[str, dict[str, int]]:
        """What was wrong, as the board has it: window to reason to count (S29).

        There, a record counts on the day on which it came; here, on that of its event.
        """
        end_us = self.finish()
        end_day = end_us // DAY_US
        found = DataQuality()
        for day, reason in self._wrong:
            found.note(reason, end_day if day is None else day)
        for ledger in self.ledgers:
            for day, counts in ledger.quality.items():
                for flaw, count in counts.items():
                    found.count(flaw, day, count)
            for at_us in orphans(ledger.customers.values(), end_us - ORPHAN_AFTER_US):
                found.note(Reason.ORPHAN, at_us // DAY_US)
        today = zone_days(self._policy.time_zone).day(end_us)
        return {window: dict(sorted(counts.items())) for window, counts in by_window(found.days.items(), today).items()}


def _day_of(message: Message) -> int | None:
    return None if message.occurred_at is None else instant_us(message.occurred_at) // DAY_US


def orphans(customers: Iterable[Customer], before_us: int) -> Iterator[int]:
    """The instants of facts from before whose request was never opened: a worker would have dropped them by now."""
    for customer in customers:
        for request in (customer.requests or {}).values():
            if not any(isinstance(entry.fact, RequestOpened) for entry in request.facts):
                yield from (entry.at_us for entry in request.facts if entry.at_us < before_us)


def replay(
    messages: Iterable[Message], policy: Policy, as_of_us: int | None = None, partitions: int = 1
) -> dict[str, Any]:
    """The report over messages in any order."""
    run = Replay(policy, as_of_us, partitions)
    for message in messages:
        run.add(message)
    return run.report()
