"""How much of the alerts' topic an owner knows: its own transitions, and those of the owners before it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Ends = dict[int, int]
"""Partition of the alerts' topic to an offset."""


@dataclass
class AlertLogProgress:
    """Up to where what former owners said is known to the state; what they said after that is to be looked at once."""

    unread: Ends | None = None
    """From here on, transitions of former owners may be unknown. None or empty: there is nothing to look at."""
    acknowledged: Ends = field(default_factory=dict)
    """Up to here, the topic holds what this owner has sent itself."""
    claimed_at: float = 0.0
    """When this owner took over (monotonic seconds)."""

    def acknowledge(self, ends: Mapping[int, int]) -> None:
        """The broker has taken records of ours that end here."""
        for partition, end in ends.items():
            self.acknowledged[partition] = max(end, self.acknowledged.get(partition, 0))

    def read(self, ends: Mapping[int, int]) -> None:
        """Everything up to here was looked at."""
        self.unread = None
        self.acknowledge(ends)

    def known_up_to(self) -> Ends:
        """From where a successor has to look."""
        return dict(self.unread or self.acknowledged)
