"""Rendered series, kept as one chunk of bytes per family and rep, so that a scrape renders only what changed.

The chunks of a family lie in blocks of reps. A block is compressed by itself and ended with a full flush, so that the
compressed blocks of a whole answer, one after the other, are one gzip stream.
"""

import zlib
from collections.abc import Iterator

REPS_IN_BLOCK = 64
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_LAST_BLOCK = b"\x03\x00"
_LEVEL = 1
"""Series are so alike that more effort gains a tenth in size for four times the work."""


class Block:
    """The chunks of some reps in one family."""

    __slots__ = ("chunks", "packed")

    def __init__(self) -> None:
        self.chunks: list[bytes] = [b""] * REPS_IN_BLOCK
        self.packed: bytes | None = None

    def put(self, place: int, chunk: bytes) -> None:
        """A rep's chunk; empty: it has no series."""
        if self.chunks[place] != chunk:
            self.chunks[place] = chunk
            self.packed = None


class Chunks:
    """All chunks of one family."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        self.blocks: list[Block] = []

    def put(self, slot: int, chunk: bytes) -> None:
        """The chunk of the rep in a slot."""
        number, place = divmod(slot, REPS_IN_BLOCK)
        while number >= len(self.blocks):
            self.blocks.append(Block())
        self.blocks[number].put(place, chunk)

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

    def packed(self, text: bytes) -> bytes:
        """As raw deflate, to be followed by another. It is kept, unless the block has changed meanwhile."""
        if self._packed is None:
            self._packed = pack(text)
            if self._block is not None and self._block.chunks == self._chunks:
                self._block.packed = self._packed
        return self._packed


def pack(text: bytes) -> bytes:
    """Raw deflate that neither looks back to what comes before nor ends the stream."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(text) + deflate.flush(zlib.Z_FULL_FLUSH)


def gzipped(pieces: list[Piece]) -> Iterator[bytes]:
    """The pieces as one gzip stream."""
    yield GZIP_HEAD
    checksum = size = 0
    for piece in pieces:
        text = piece.text()
        checksum, size = zlib.crc32(text, checksum), size + len(text)
        yield piece.packed(text)
    yield _LAST_BLOCK + checksum.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")
