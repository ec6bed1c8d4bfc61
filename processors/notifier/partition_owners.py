"""Whose transitions count: those of the newest owner of a partition, from the record of its takeover on.

A worker that lost its partition without noticing may send transitions late. In each partition of the alerts topic they
come after the takeover record of its successor, and are ignored: the successor computes the same alerts, and retracts
what it does not find due.
"""

from aiokafka import ConsumerRecord

from schemas.alerts import Takeover, Transition, takeover_of

FORMER_OWNER = "former_owner"
"""The reason for which a transition is skipped."""


class PartitionOwners:
    """The newest owner of each source partition, as far as each partition of the alerts topic was read."""

    def __init__(self) -> None:
        self._newest: dict[tuple[int, int], Takeover] = {}
        """By partition of the alerts topic and source partition."""

    def add(self, record: ConsumerRecord) -> None:
        """Add a record without a value. A late takeover by a former owner changes nothing."""
        takeover = takeover_of(record.key, record.headers)
        if takeover is None:
            return
        key = (record.partition, takeover.partition)
        known = self._newest.get(key)
        # Epochs start again with other logs: then a lower epoch may be the newer owner.
        if known is None or known.logs != takeover.logs or known.epoch <= takeover.epoch:
            self._newest[key] = takeover

    def accepts(self, partition: int, transition: Transition) -> bool:
        """Whether a transition in this partition of the alerts topic counts; without a known owner it does."""
        if transition.epoch is None or transition.partition is None:
            return True
        newest = self._newest.get((partition, transition.partition))
        return newest is None or transition.epoch >= newest.epoch
