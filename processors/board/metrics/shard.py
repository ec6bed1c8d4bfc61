"""Which reps a board exports, when several boards share them (`--shard 0/4`)."""

from typing import NamedTuple
from zlib import crc32


class ExportShard(NamedTuple):
    """Shard `number` of `of`, counted from 0. A rep never changes its shard."""

    number: int
    of: int

    def has(self, rep_id: str) -> bool:
        """Whether the shard exports a rep."""
        return crc32(rep_id.encode()) % self.of == self.number


WHOLE = ExportShard(0, 1)


def parse_shard(text: str) -> ExportShard:
    """Parse the setting `board.shard`, such as `0/4`."""
    number, of = text.split("/")
    return ExportShard(int(number), int(of))
