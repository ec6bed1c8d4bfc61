"""Compressed data opens up to a ceiling and never takes more memory than that, whatever it claims to hold."""

import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.codec import gzip_encode, lz4_encode, snappy_encode, zstd_encode

from processors.kafka import compression as codecs
from processors.kafka.compression import GZIP, LZ4, NAMES, SNAPPY, ZSTD, UnreadableBatch, decompress
from schemas.errors import Unavailable

ENCODERS = {GZIP: gzip_encode, SNAPPY: snappy_encode, LZ4: lz4_encode, ZSTD: zstd_encode}
TEXT = b"".join(b'{"type":"activity.logged","event_id":"%d"}' % n for n in range(5000))
MEBIBYTE = 1024 * 1024

all_codecs = pytest.mark.parametrize("codec", ENCODERS, ids=NAMES.values())


@all_codecs
@pytest.mark.parametrize("text", [b"", b"x", TEXT, b" " * 3_000_000], ids=["empty", "byte", "events", "blanks"])
def test_what_was_compressed_comes_back_up_to_the_ceiling(codec: int, text: bytes) -> None:
    if not text and codec == SNAPPY:
        pytest.skip("the client does not write a block for nothing")

    packed = memoryview(ENCODERS[codec](text))

    assert decompress(codec, packed, max(len(text), 1)) == text


@all_codecs
def test_one_byte_beyond_the_ceiling_is_refused(codec: int) -> None:
    packed = memoryview(ENCODERS[codec](TEXT))
    name = NAMES[codec]

    with pytest.raises(UnreadableBatch, match=rf"{name}: more than {len(TEXT) - 1} bytes when decompressed"):
        decompress(codec, packed, len(TEXT) - 1)


@all_codecs
@pytest.mark.parametrize("damage", ["cut", "empty", "garbage"])
def test_damaged_data_is_refused(codec: int, damage: str) -> None:
    packed = bytes(ENCODERS[codec](TEXT))
    damaged = {"cut": packed[:-9], "empty": b"", "garbage": b"garbage" * 9}[damage]

    with pytest.raises(UnreadableBatch, match=NAMES[codec]):
        decompress(codec, memoryview(damaged), MEBIBYTE)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_codec_is_refused(codec: int) -> None:
    with pytest.raises(UnreadableBatch, match=f"compression codec {codec} is unknown"):
        decompress(codec, memoryview(b"x"), MEBIBYTE)


def test_raw_snappy_as_other_clients_write_it_is_read() -> None:
    assert decompress(SNAPPY, memoryview(snappy_encode(TEXT, xerial_compatible=False)), len(TEXT)) == TEXT


@pytest.mark.parametrize("length", [0, -1, 2**31 - 1])
def test_a_block_of_an_impossible_length_ends_the_reading(length: int) -> None:
    packed = codecs.XERIAL + b"\0\0\0\1\0\0\0\1" + length.to_bytes(4, "big", signed=True) + b"xx"

    with pytest.raises(UnreadableBatch, match=f"a block of {length} bytes where 2 are left"):
        decompress(SNAPPY, memoryview(packed), MEBIBYTE)


def test_members_of_gzip_one_after_another_are_one_text_with_one_ceiling() -> None:
    packed = gzip_encode(b"one ") + gzip_encode(b"two")

    assert decompress(GZIP, memoryview(packed), 7) == b"one two"
    with pytest.raises(UnreadableBatch, match="more than 6 bytes"):
        decompress(GZIP, memoryview(packed), 6)


def test_a_codec_that_is_not_installed_is_the_installation_s_fault_and_no_batch_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codecs, "cramjam", None)

    assert codecs.missing() == ["snappy", "lz4", "zstd"]
    with pytest.raises(
        Unavailable, match="compressed with zstd, which cannot be read here: install the package cramjam"
    ):
        decompress(ZSTD, memoryview(zstd_encode(TEXT)), MEBIBYTE)
    assert decompress(GZIP, memoryview(gzip_encode(TEXT)), MEBIBYTE) == TEXT


PEAK = """
import pathlib, resource, sys
from processors.kafka.compression import UnreadableBatch, decompress
packed = memoryview(pathlib.Path(sys.argv[2]).read_bytes())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decompress(int(sys.argv[1]), packed, 16 * 1024 * 1024)
except UnreadableBatch:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@all_codecs
def test_a_bomb_takes_no_more_memory_than_the_ceiling(codec: int, tmp_path: Path) -> None:
    """300 MB of blanks in a process of its own, where 16 MiB are allowed."""
    (tmp_path / "bomb").write_bytes(ENCODERS[codec](b" " * 300_000_000))

    run = [sys.executable, "-c", PEAK, str(codec), str(tmp_path / "bomb")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)

    assert int(done.stdout) < 40 * 1024  # KiB: the buffer, and what the codec needs for itself
