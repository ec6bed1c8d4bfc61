"""Where the read model lies in Redis, and how its entries in the changes stream look."""

from collections.abc import Mapping, Sequence

import msgspec

from schemas.views import SECTIONS, Section

KEPT_ENTRIES = 4000
"""The changes stream's length, roughly: a reader that falls further behind loads everything again."""

Names = list[tuple[int, list[str]]]
"""Changed fields by the section's place in SECTIONS."""

_names = msgspec.msgpack.Decoder(Names)


class Keys:
    """The keys under one prefix."""

    def __init__(self, prefix: str) -> None:
        self.changes = f"{prefix}:changes"
        self.sequence = f"{prefix}:sequence"
        self.partitions = f"{prefix}:partitions"
        self.reps = f"{prefix}:reps"
        self.rep_offsets = f"{prefix}:reps:offsets"
        self._prefix = prefix

    def fence(self, partition: str) -> str:
        """The hash that says who owns a partition, and up to which source offset of which logs it is published."""
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
    """Bytes in a msgpack body for Lua, whose decoder knows the text type only, and does not mind what is in it."""
    size = len(value)
    head = b"\xda" + size.to_bytes(2) if size < 65536 else b"\xdb" + size.to_bytes(4)
    return msgspec.Raw(head + value)
