"""Rendered series, kept as one chunk of bytes per family and rep, so that a scrape renders only what changed.

Joining and compressing them takes so little (1.5 GB a second) that nothing compressed is kept.
"""

from collections.abc import Iterator, Sequence

from isal import isal_zlib

TEXTS_AT_ONCE = 256
"""So many are compressed or written at a time."""
_LEVEL = 1
"""Series are so alike that level 2 gains nothing."""
_GZIP_BITS = 16 + isal_zlib.MAX_WBITS


class Chunks:
    """All chunks of one family."""

    def __init__(self, head: bytes) -> None:
        self.samples = 0
        self._head = head
        self._texts: list[bytes] = []
        self._samples: list[int] = []

    def put(self, slot: int, text: bytes, samples: int) -> None:
        """The chunk of the rep in a slot, and how many samples it has; empty: it has none."""
        missing = slot + 1 - len(self._texts)
        self._texts.extend([b""] * missing)
        self._samples.extend([0] * missing)
        self.samples += samples - self._samples[slot]
        self._texts[slot] = text
        self._samples[slot] = samples

    def texts(self) -> list[bytes]:
        """What there is now; later changes do not touch it."""
        return [self._head, *self._texts]


def portions(texts: Sequence[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces."""
    for first in range(0, len(texts), TEXTS_AT_ONCE):
        yield b"".join(texts[first : first + TEXTS_AT_ONCE])


def gzipped(texts: Sequence[bytes]) -> list[bytes]:
    """The texts as one gzip stream."""
    stream = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_BITS)
    return [*map(stream.compress, portions(texts)), stream.flush()]
