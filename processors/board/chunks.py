"""Rendered series, kept as one chunk of bytes per family and rep, so that a scrape renders only what changed.

Joining and compressing them takes so little (1.5 GB a second) that nothing compressed is kept.
"""

from collections.abc import Iterable, Iterator

from isal import isal_zlib

PORTION_BYTES = 256 * 1024
"""So much is compressed or written at a time."""
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


def portions(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in portions of about PORTION_BYTES."""
    some: list[bytes] = []
    size = 0
    for text in texts:
        some.append(text)
        size += len(text)
        if size >= PORTION_BYTES:
            yield b"".join(some)
            some, size = [], 0
    if some:
        yield b"".join(some)


def gzipped(texts: Iterable[bytes]) -> list[bytes]:
    """The texts as one gzip stream."""
    stream = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _GZIP_BITS)
    return [*map(stream.compress, portions(texts)), stream.flush()]
