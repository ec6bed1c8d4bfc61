"""Which owners of the events' partitions are heard: the newest, from the record on by which it took over.

A worker that lost its partition without noticing may send transitions late. In each partition of the topic they come
after the record of its successor's take-over, and do not count: the successor has the word, and takes back what it does
not find due.
"""

from aiokafka import ConsumerRecord

from schemas.alerts import Takeover, Transition, takeover_of

FORMER = "former_owner"
"""Why a transition is skipped."""


class Owners:
    """The newest owner of each source partition, as far as each partition of the topic was read."""

    def __init__(self) -> None:
        self._newest: dict[tuple[int, int], Takeover] = {}
        """By the topic's partition and the source's."""

    def learn(self, record: ConsumerRecord) -> None:
        """Take a record without a value: of the take-overs, a late one of a former owner changes nothing."""
        takeover = takeover_of(record.key, record.headers)
        if takeover is None:
            return
        place = (record.partition, takeover.partition)
        known = self._newest.get(place)
        if known is None or known.logs != takeover.logs or known.epoch <= takeover.epoch:
            self._newest[place] = takeover

    def hears(self, partition: int, transition: Transition) -> bool:
        """Whether a transition counts, read from this partition of the topic: it does if nobody says who sent it."""
        if transition.epoch is None or transition.partition is None:
            return True
        newest = self._newest.get((partition, transition.partition))
        return newest is None or transition.epoch >= newest.epoch
