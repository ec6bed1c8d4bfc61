"""Rendered series, kept as one chunk of bytes per family and rep, so that a scrape renders only what changed.

The chunks of a family lie in blocks of reps. A block is compressed by itself and ended with a full flush, so that the
compressed blocks of a whole answer, one after the other, are one gzip stream.
"""

import time
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from processors.board.checksums import combine

REPS_IN_BLOCK = 32
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"
_LEVEL = 1
"""Series are so alike that more effort gains a tenth in size for four times the work."""


class Packed(NamedTuple):
    """A text as raw deflate that neither looks back to what comes before nor ends the stream."""

    deflated: bytes
    checksum: int
    size: int
    """Bytes of the text."""


class Block:
    """The chunks of some reps in one family."""

    __slots__ = ("changed", "chunks", "packed")

    def __init__(self) -> None:
        self.chunks: list[bytes] = [b""] * REPS_IN_BLOCK
        self.packed: Packed | None = None
        self.changed = 0.0
        """When it last changed, in monotonic seconds."""

    def put(self, place: int, chunk: bytes) -> None:
        """A rep's chunk; empty: it has no series."""
        self.chunks[place] = chunk
        self.packed = None
        self.changed = time.monotonic()


class Chunks:
    """All chunks of one family."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.blocks: list[Block] = []
        self.samples = 0

    def put(self, slot: int, chunk: bytes) -> None:
        """The chunk of the rep in a slot."""
        number, place = divmod(slot, REPS_IN_BLOCK)
        while number >= len(self.blocks):
            self.blocks.append(Block())
        block = self.blocks[number]
        if block.chunks[place] != chunk:
            self.samples += chunk.count(b"\n") - block.chunks[place].count(b"\n")
            block.put(place, chunk)

    def quiet(self, since: float) -> "Iterator[Piece]":
        """Blocks that are not packed, and have not changed since an instant in monotonic seconds."""
        return (Piece(b"", block) for block in self.blocks if block.packed is None and block.changed <= since)

    def pieces(self) -> "list[Piece]":
        """What there is now; later changes do not touch it."""
        return [Piece(self.head), *(Piece(b"", block) for block in self.blocks)]


class Piece:
    """A part of an answer: plain text, or a block as it was."""

    __slots__ = ("_block", "_chunks", "_packed", "_text")

    def __init__(self, text: bytes, block: Block | None = None) -> None:
        self._text = text
        self._block = block
        self._chunks = [] if block is None else list(block.chunks)
        self._packed = None if block is None else block.packed

    def text(self) -> bytes:
        """As text."""
        return self._text if self._block is None else b"".join(self._chunks)

    def packed(self) -> Packed:
        """As raw deflate. It is kept for the next answer, unless the block has changed meanwhile."""
        if self._packed is None:
            self._packed = pack(self.text())
            if self._block is not None and self._block.chunks == self._chunks:
                self._block.packed = self._packed
        return self._packed


def pack(text: bytes) -> Packed:
    """Compress a part of a stream."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    deflated = deflate.compress(text) + deflate.flush(zlib.Z_FULL_FLUSH)
    return Packed(deflated, zlib.crc32(text), len(text))


def gzipped(pieces: Iterable[Piece]) -> Iterator[bytes]:
    """The pieces as one gzip stream."""
    yield GZIP_HEAD
    checksum = size = 0
    for piece in pieces:
        deflated, own, length = piece.packed()
        checksum, size = combine(checksum, own, length), size + length
        yield deflated
    yield _LAST_BLOCK + checksum.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
