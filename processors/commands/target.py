"""Where simulated and imported messages go: to standard output as lines, or straight into Kafka."""

from collections.abc import Iterable
from typing import BinaryIO

import msgspec

from config.settings import Settings
from processors.ingest.lateness import Lateness
from processors.kafka.bulk_producer import SendProgress, produce, write_lines
from processors.kafka.pacing import FullSpeed, Pace
from processors.kafka.timed_messages import TimedMessage, from_messages
from schemas.events import RepUpdated


class Target(msgspec.Struct, frozen=True):
    """Where messages go: a stream that takes lines, or Kafka."""

    settings: Settings
    stream: BinaryIO | None = None
    warnings: list[str] = []
    """What the sender should know afterwards, a line each."""
    quality: list[str] = []
    """What is wrong with what was sent, for people."""

    def send_reps(self, reps: Iterable[RepUpdated]) -> SendProgress:
        """Entries of the directory; raises Unavailable, UsageError."""
        return self._send(self.settings.kafka.reps_topic, from_messages(reps), FullSpeed())

    def send_events(self, outgoing: Iterable[TimedMessage], pace: Pace, lateness: Lateness) -> SendProgress:
        """Events, as `lateness` has watched them; raises Unavailable, UsageError."""
        delivery = self._send(self.settings.kafka.events_topics[0], outgoing, pace)
        if self.stream is None:  # lines may be for a replay, which refuses nothing for its instant
            self.warnings.extend(lateness.warnings())
        return delivery

    def _send(self, topic: str, outgoing: Iterable[TimedMessage], pace: Pace) -> SendProgress:
        if self.stream is not None:
            return write_lines(outgoing, self.stream, pace)
        return produce(self.settings.kafka, topic, outgoing, pace)
