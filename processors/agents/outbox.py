"""What a partition sends to other topics, and what its next checkpoint waits for."""

import asyncio
from dataclasses import dataclass, field

from processors.agents.journal import Entry
from processors.agents.journal_format import JournalPosition
from processors.agents.kafka_writer import OutgoingRecord

Cut = tuple[JournalPosition, list[Entry]]
"""A position, and the changelog records that make everything before it durable."""


@dataclass(slots=True, eq=False)
class Outbox:
    """Dead letters and alert transitions. Anybody adds; only Checkpoints drains and sends."""

    unsent: list[OutgoingRecord] = field(default_factory=list)
    in_flight: "list[asyncio.Task[None]]" = field(default_factory=list)
    """Sent, and perhaps not acknowledged. The next cut waits for them."""
    before_cut: "list[asyncio.Task[None]]" = field(default_factory=list)
    """Sent before the pending cut, which waits for them."""
    pending_cut: Cut | None = None
    """A cut whose changelog records are not written yet."""
    send_lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Records of one partition leave in order, one send after the other."""
    flush_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def add(self, record: OutgoingRecord) -> None:
        """Queue a record."""
        self.unsent.append(record)

    def drain(self) -> list[OutgoingRecord]:
        """Take out the queued records, in order."""
        unsent, self.unsent = self.unsent, []
        return unsent

    def begin_cut(self, cut: Cut) -> None:
        """From here on, the cut waits for everything that is in flight now."""
        self.pending_cut = cut
        self.before_cut, self.in_flight = self.in_flight, []
