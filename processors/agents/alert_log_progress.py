"""How much of the alerts' topic an owner knows: its own transitions, and those of earlier owners."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.agents.kafka_writer import EndOffsets


@dataclass
class AlertLogProgress:
    """Up to which offsets the state knows the transitions. What earlier owners sent after that is reconciled once.

    Offsets are of the alerts' topic, by partition.
    """

    unread: EndOffsets | None = None
    """From here on, the topic may hold transitions of earlier owners that the state does not know. None: nothing is."""
    acknowledged: EndOffsets = field(default_factory=dict)
    """Up to here, the topic holds what this owner has sent itself."""
    claimed_at: float = 0.0
    """When this owner claimed the partition (monotonic seconds)."""

    def acknowledge(self, ends: Mapping[int, int]) -> None:
        """The broker has acknowledged our own records up to here."""
        for partition, end in ends.items():
            self.acknowledged[partition] = max(end, self.acknowledged.get(partition, 0))

    def mark_read(self, ends: Mapping[int, int]) -> None:
        """All transitions up to here are reconciled."""
        self.unread = None
        self.acknowledge(ends)

    def known_up_to(self) -> EndOffsets:
        """Where a successor begins to read."""
        return dict(self.unread or self.acknowledged)
