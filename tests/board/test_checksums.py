"""Combined checksums are those of the whole text."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from processors.board.checksums import combine


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_parts_combine_to_the_whole(parts: list[bytes]) -> None:
    checksum = 0
    for part in parts:
        checksum = combine(checksum, zlib.crc32(part), len(part))
    assert checksum == zlib.crc32(b"".join(parts))


def test_a_long_second_part_is_no_different() -> None:
    first, second = b"a" * 1000, b"\x00\xff" * 150_000
    assert combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)
