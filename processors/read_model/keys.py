"""The keys of the read model in Redis, and the form of entries in its changes stream."""

from collections.abc import Mapping, Sequence

import msgspec

from schemas.views import SECTIONS, Section

MAX_STREAM_ENTRIES = 4000
"""The approximate length of the changes stream: a reader that falls further behind loads everything again."""

FieldNames = list[tuple[int, list[str]]]
"""Changed fields by the section's index in SECTIONS."""

_names = msgspec.msgpack.Decoder(FieldNames)


class ReadModelKeys:
    """The keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.changes = f"{prefix}:changes"
        self.sequence = f"{prefix}:sequence"
        self.partitions = f"{prefix}:partitions"
        self.reps = f"{prefix}:reps"
        self.rep_offsets = f"{prefix}:reps:offsets"
        self._prefix = prefix

    def fence(self, partition: str) -> str:
        """The hash with a partition's owner, and the source offset up to which it is published, of which logs."""
        return f"{self._prefix}:{partition}:fence"

    def section(self, partition: str, section: Section) -> str:
        """The hash of one section of a partition."""
        return f"{self._prefix}:{partition}:{section}"

    def publication(self, partition: str) -> list[str]:
        """All keys that publishing a partition touches, in the order of `publish.lua`."""
        live = [self.section(partition, section) for section in SECTIONS]
        common = [self.fence(partition), self.changes, self.sequence, self.partitions]
        return [*common, *live, *(f"{key}:loading" for key in live)]


def pack_names(changes: Mapping[Section, Sequence[str]]) -> bytes:
    """The names of changed fields, for an entry of the changes stream."""
    return msgspec.msgpack.encode([(SECTIONS.index(section), names) for section, names in changes.items()])


def unpack_names(raw: bytes) -> dict[Section, list[str]]:
    """The reverse of `pack_names`."""
    return {SECTIONS[index]: names for index, names in _names.decode(raw)}


def lua_text(value: bytes) -> msgspec.Raw:
    """Bytes as msgpack text: the decoder in Lua knows no bytes, and accepts any content in a text."""
    size = len(value)
    head = b"\xda" + size.to_bytes(2) if size < 65536 else b"\xdb" + size.to_bytes(4)
    return msgspec.Raw(head + value)
