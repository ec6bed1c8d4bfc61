"""Dead letters: records that cannot count, as they came, with the reason and where they came from as headers."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from processors.agents.fetching import Record
from processors.agents.outgoing import Headers, Message
from schemas import codec
from schemas.errors import BadRecord
from schemas.events import Event

MOST_BYTES = 512 * 1024
"""A longer value is cut, so that it fits the dead letters' topic; its length is in the header `value_bytes`."""
MOST_DETAIL = 1000


@dataclass(frozen=True)
class DeadLetters:
    """What a consumer group has to say on its topic: another group on the same topic may judge otherwise."""

    topic: str
    group: str

    def of_record(self, source: tuple[str, int], record: Record, bad: BadRecord) -> Message:
        """The dead letter of a record from a source topic and partition: key and value as they were."""
        value = record.value
        at_ms = str(record.timestamp or 0).encode()
        headers = (*self._headers(bad, source, record.offset), ("timestamp_ms", at_ms))
        if value is not None and len(value) > MOST_BYTES:
            headers = (*headers, ("value_bytes", str(len(value)).encode()))
            value = value[:MOST_BYTES]
        return Message(self.topic, record.key, value, headers)

    def of_event(self, source: tuple[str, int], event: Event, bad: BadRecord, offsets: Mapping[str, int]) -> Message:
        """The dead letter of an event that was accepted and turned out bad later; its offset is no longer known.

        The header `next_offsets` says how far its partition was by then: JSON of each topic and the offset to come.
        """
        headers = (*self._headers(bad, source, None), ("next_offsets", msgspec.json.encode(offsets)))
        return Message(self.topic, event.customer_id.encode(), codec.encode(event), headers)

    def _headers(self, bad: BadRecord, source: tuple[str, int], offset: int | None) -> Headers:
        topic, partition = source
        fields = {"reason": bad.reason, "detail": bad.detail[:MOST_DETAIL], "topic": topic, "partition": str(partition)}
        if offset is not None:
            fields["offset"] = str(offset)
        fields["group"] = self.group
        return tuple((name, text.encode("utf-8", "replace")) for name, text in fields.items())
