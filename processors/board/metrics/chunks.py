"""Rendered series, kept as one chunk of bytes for each family and rep, so that a scrape renders only what changed.

Joining and compressing chunks is so fast (1.5 GB a second) that nothing compressed is kept.
"""

from collections.abc import Iterator, Sequence

from isal import isal_zlib

TEXTS_BATCH_SIZE = 256
"""Chunks that are compressed or written at a time."""
_LEVEL = 1
"""Series are so similar that level 2 gains nothing."""
_GZIP_BITS = 16 + isal_zlib.MAX_WBITS


class Chunks:
    """The chunks of one family, by slot. Every rep has a slot."""

    def __init__(self, head: bytes) -> None:
        self.samples = 0
        self._head = head
        self._texts: list[bytes] = []
        self._samples: list[int] = []

    def put(self, slot: int, text: bytes, samples: int) -> None:
        """Set the chunk of a slot and its number of samples; an empty text clears it."""
        missing = slot + 1 - len(self._texts)
        self._texts.extend([b""] * missing)
        self._samples.extend([0] * missing)
        self.samples += samples - self._samples[slot]
        self._texts[slot] = text
        self._samples[slot] = samples

    def texts(self) -> list[bytes]:
        """The chunks as they are now, in a list of their own."""
        return [self._head, *self._texts]


def portions(texts: Sequence[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer, larger pieces."""
    for first in range(0, len(texts), TEXTS_BATCH_SIZE):
        yield b"".join(texts[first : first + TEXTS_BATCH_SIZE])


def gzipped(texts: Sequence[bytes]) -> list[bytes]:
    """The texts as one gzip stream."""
    stream = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_BITS)
    return [*map(stream.compress, portions(texts)), stream.flush()]
