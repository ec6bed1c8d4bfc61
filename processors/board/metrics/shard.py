"""Which reps a board exports, when several boards share them (`--shard 0/4`)."""

from typing import NamedTuple
from zlib import crc32


class Shard(NamedTuple):
    """One of `of` shards, numbered from 0. Every rep is in one, whatever else changes."""

    number: int
    of: int

    def has(self, rep_id: str) -> bool:
        """Whether a rep is in it."""
        return crc32(rep_id.encode()) % self.of == self.number


WHOLE = Shard(0, 1)


def parse_shard(text: str) -> Shard:
    """The setting `board.shard`, such as `0/4`."""
    number, of = text.split("/")
    return Shard(int(number), int(of))
