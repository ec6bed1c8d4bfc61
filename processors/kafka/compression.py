"""Decompresses record batches up to a ceiling. A batch that would grow beyond it is refused before it takes the memory.

One set of codecs serves both Kafka clients, so that both read the same and neither exceeds the ceiling.
"""

import struct
from collections.abc import Callable
from importlib import import_module
from typing import Any

from isal import igzip_lib, isal_zlib

from schemas.errors import SalespulseError, Unavailable

cramjam: Any
try:
    cramjam = import_module("cramjam")
except ImportError:  # an installation without it reads gzip alone, and `salespulse check` says so
    cramjam = None

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
NAMES = {GZIP: "gzip", SNAPPY: "snappy", LZ4: "lz4", ZSTD: "zstd"}
INSTALL_MEND = "install the package cramjam (it is among the locked ones of requirements/runtime.lock)"

GZIP_WITH_HEADER = 31
GZIP_ERRORS: Any = (igzip_lib.IsalError, isal_zlib.error)
MIN_BUFFER_BYTES = 64 * 1024
"""The smallest first buffer for data that does not state its decompressed size."""
BUFFER_GROWTH = 16
"""Each further buffer is this many times larger. Ordinary batches of JSON fit into the first."""

XERIAL = b"\x82SNAPPY\x00"
"""Java's snappy: this magic, a version and the oldest compatible version (four bytes each), then blocks."""
XERIAL_HEADER_BYTES = 16
LENGTH_BYTES = 4


class UnreadableBatch(SalespulseError):
    """A record batch cannot be read. The message has the reason in a few words."""


def missing() -> list[str]:
    """The codecs that this installation cannot read."""
    return [] if cramjam is not None else [NAMES[codec] for codec in (SNAPPY, LZ4, ZSTD)]


def decompress(codec: int, data: memoryview, ceiling: int) -> bytes | bytearray:
    """Decompress up to `ceiling` bytes.

    Raises UnreadableBatch for data that is damaged, larger or of an unknown codec, Unavailable for a codec that is not
    installed.
    """
    opener = _OPENERS.get(codec)
    if opener is None:
        raise UnreadableBatch(f"compression codec {codec} is unknown")
    name = NAMES[codec]
    if name in missing():
        raise Unavailable(f"a batch is compressed with {name}, which cannot be read here: {INSTALL_MEND}")
    return opener(data, ceiling)


def _gzip(data: memoryview, ceiling: int) -> bytes:
    """One gzip member after another."""
    parts: list[bytes] = []
    left = ceiling
    rest: Any = data
    while True:
        inflater = isal_zlib.decompressobj(GZIP_WITH_HEADER)
        try:
            part = inflater.decompress(rest, left + 1)
        except GZIP_ERRORS as error:
            raise _damaged(GZIP, error) from error
        parts.append(part)
        left -= len(part)
        if left < 0:
            raise _too_large(GZIP, ceiling)
        if not inflater.eof:
            raise UnreadableBatch("gzip: the data ends early")
        rest = inflater.unused_data
        if not rest:
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _snappy(data: memoryview, ceiling: int) -> bytes:
    """Raw snappy, or the blocks that Java writes."""
    if bytes(data[: len(XERIAL)]) != XERIAL:
        return _snappy_block(data, ceiling, ceiling)
    parts: list[bytes] = []
    left, at = ceiling, XERIAL_HEADER_BYTES
    while at < len(data):
        if at + LENGTH_BYTES > len(data):
            raise UnreadableBatch("snappy: the data ends early")
        (length,) = struct.unpack_from(">i", data, at)
        at += LENGTH_BYTES
        if not 0 < length <= len(data) - at:
            raise UnreadableBatch(f"snappy: a block of {length} bytes where {len(data) - at} are left")
        part = _snappy_block(data[at : at + length], left, ceiling)
        parts.append(part)
        left, at = left - len(part), at + length
    return b"".join(parts)


def _snappy_block(data: memoryview, left: int, ceiling: int) -> bytes:
    try:
        if cramjam.snappy.decompress_raw_len(data) > left:
            raise _too_large(SNAPPY, ceiling)
        return bytes(cramjam.snappy.decompress_raw(data))
    except cramjam.DecompressionError as error:
        raise _damaged(SNAPPY, error) from error


def _framed(codec: int) -> Callable[[memoryview, int], bytearray]:
    """The opener of a codec whose frames may not state their size: tries growing buffers up to the ceiling."""

    def open_frames(data: memoryview, ceiling: int) -> bytearray:
        decompress_into = getattr(cramjam, NAMES[codec]).decompress_into
        size = max(MIN_BUFFER_BYTES, BUFFER_GROWTH * len(data))
        while True:
            # One byte above the ceiling, so that data beyond it shows.
            buffer = bytearray(min(size, ceiling + 1))
            try:
                count = decompress_into(data, memoryview(buffer))
            except cramjam.DecompressionError as error:
                if size <= ceiling:
                    size *= BUFFER_GROWTH
                    continue
                if "whole buffer" in str(error):
                    raise _too_large(codec, ceiling) from error
                raise _damaged(codec, error) from error
            if count > ceiling:
                raise _too_large(codec, ceiling)
            del buffer[count:]
            return buffer

    return open_frames


def _too_large(codec: int, ceiling: int) -> UnreadableBatch:
    return UnreadableBatch(f"{NAMES[codec]}: more than {ceiling} bytes when decompressed (kafka.max_batch_bytes)")


def _damaged(codec: int, error: Exception) -> UnreadableBatch:
    return UnreadableBatch(f"{NAMES[codec]}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")


_OPENERS: dict[int, Callable[[memoryview, int], bytes | bytearray]] = {
    GZIP: _gzip,
    SNAPPY: _snappy,
    LZ4: _framed(LZ4),
    ZSTD: _framed(ZSTD),
}
