"""The CRC-32 of a text from the CRC-32 of its parts, so that parts that did not change are not read again.

Appending n bytes to a text multiplies its checksum by x^8n modulo the CRC's polynomial, bits in reverse order, as in
zlib's `crc32_combine`.
"""

from functools import lru_cache

_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31


def combine(first: int, second: int, second_bytes: int) -> int:
    """The checksum of two texts, one after the other, from theirs and the length of the second in bytes."""
    return _product(_shift(second_bytes), first) ^ second


@lru_cache(maxsize=8192)
def _shift(length: int) -> int:
    """x^8n modulo the polynomial, by squaring."""
    power, square = _ONE, _ONE >> 8
    while length:
        if length & 1:
            power = _product(square, power)
        square = _product(square, square)
        length >>= 1
    return power


def _product(a: int, b: int) -> int:
    """The product of two polynomials modulo the CRC's."""
    result, bit = 0, _ONE
    while bit:
        if a & bit:
            result ^= b
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
        bit >>= 1
    return result
