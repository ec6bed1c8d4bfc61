"""Batches of every format and in every state of damage: what can be read is, and the rest is a range of offsets."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.kafka.record_batches import MAX_NATIVE_BYTES
from processors.kafka.record_frames import Record, UnreadableRange
from processors.kafka.record_set import RecordSet
from schemas.errors import SalespulseError
from tests.hostile.wire import CODECS, ENCODERS, NOW_MS, Sent, batch, body, field, legacy, resealed, varint

FIVE = [Sent(b"v%d" % n, b"k%d" % n) for n in range(5)]
HEADER_BYTES = 61

Read = tuple[list[tuple[int, bytes | None]], list[tuple[int, int, str]], int]


def at(offset: int, raw: bytes) -> bytes:
    """A batch where the broker put it."""
    return offset.to_bytes(8, "big") + raw[8:]


def records_of(*raw: bytes, native: bool = True, position: int = 0) -> tuple[list[Record], list[UnreadableRange], int]:
    """What a client would take from batches, what could not be read, and where reading goes on."""
    records, ranges, following = list[Record](), list[UnreadableRange](), position
    source = RecordSet(b"".join(raw))
    source.report, source.native, source.position = ranges.append, native, position
    while source.has_next():
        found = source.next_batch()
        if not found.is_control_batch:
            records += found
        following = found.next_offset
    return records, ranges, following


def read(*raw: bytes, native: bool = True) -> Read:
    records, ranges, following = records_of(*raw, native=native)
    return [(one.offset, one.value) for one in records], [one[:3] for one in ranges], following


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read_by_either_parser(codec: str, native: bool) -> None:
    headers = [(b"a", b"1"), (b"b", None)]
    sent = [Sent(b"v", b"k", headers, 7), Sent(None, None), Sent(b"", b"")]

    records, ranges, following = records_of(batch(body(sent), 3, codec=codec), native=native)

    assert [(one.offset, one.timestamp, one.key, one.value, list(one.headers)) for one in records] == [
        (0, NOW_MS + 7, b"k", b"v", [("a", b"1"), ("b", None)]),
        (1, NOW_MS, None, None, []),
        (2, NOW_MS, b"", b"", []),
    ]
    assert (ranges, following) == ([], 3)


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_an_unknown_codec_costs_its_batch(codec: int) -> None:
    foreign = batch(body(FIVE), 5, attributes=codec)

    records, ranges, following = read(at(0, foreign), at(5, batch(body(FIVE), 5)))

    assert [offset for offset, _ in records] == [5, 6, 7, 8, 9]
    assert ranges == [(0, 4, f"compression codec {codec} is unknown")]
    assert following == 10


def flipped(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


def short_header(raw: bytes) -> bytes:
    return raw[:8] + (14).to_bytes(4, "big") + raw[12:26]


def no_length(raw: bytes) -> bytes:
    return raw[:8] + (3).to_bytes(4, "big") + raw[12:]


def other_format(raw: bytes) -> bytes:
    return raw[:16] + b"\x07" + raw[17:]


def with_fields(delta: int, count: int) -> Callable[[bytes], bytes]:
    def change(raw: bytes) -> bytes:
        changed = bytearray(raw)
        changed[23:27] = delta.to_bytes(4, "big", signed=True)
        changed[57:61] = count.to_bytes(4, "big", signed=True)
        return resealed(changed)

    return change


def marker(raw: bytes) -> bytes:
    changed = bytearray(raw)
    changed[22] |= 0x20
    return resealed(changed)


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (flipped, "its checksum is wrong"),
        (short_header, "it has 26 bytes, fewer than a header"),
        (other_format, "message format 7 is unknown"),
        (with_fields(-3, 5), "it claims 5 records on -2 offsets"),
        (with_fields(4, 50), "it claims 50 records on 5 offsets"),
        (marker, "it claims to be a marker of transactions and is none"),
    ],
)
def test_a_batch_that_is_no_batch_costs_its_offsets(damage: Callable[[bytes], bytes], detail: str) -> None:
    raw = damage(batch(body(FIVE), 5))

    records, ranges, _ = records_of(raw, at(5, batch(body(FIVE), 5)))

    assert [one.offset for one in records] == [5, 6, 7, 8, 9]
    ((first, last, why, kept),) = ranges
    assert (first, why, kept) == (0, detail, raw)
    assert last in (0, 4)


def test_behind_an_impossible_length_nothing_is_read_and_the_position_moves() -> None:
    records, ranges, following = records_of(no_length(at(7, batch(body(FIVE), 5))), position=7)

    assert (records, following) == ([], 12)
    assert [one[:3] for one in ranges] == [(7, 11, "its length of 3 bytes is impossible")]


def test_a_damaged_batch_that_was_met_before_leads_beyond_the_position() -> None:
    _, _, following = records_of(flipped(batch(body(FIVE[:1]), 1)), position=3)

    assert following == 4


def test_a_batch_that_claims_too_many_offsets_ends_where_the_next_one_begins() -> None:
    liar = with_fields(900, 5)(batch(body(FIVE), 5))

    _, ranges, following = read(liar, at(5, batch(body(FIVE), 5)))

    assert (ranges, following) == ([], 10)


@pytest.mark.parametrize("native", [True, False])
def test_records_before_a_cut_are_read(native: bool) -> None:
    records, ranges, following = read(batch(body(FIVE)[:-4], 5), native=native)

    assert [offset for offset, _ in records] == [0, 1, 2, 3]
    assert [one[:2] for one in ranges] == [(4, 4)]
    assert following == 5


@pytest.mark.parametrize(
    "offset_deltas",
    [[0, 0, 1], [2, 1, 0], [0, 1, 7], [-1, 0, 1], [2]],
    ids=["twice", "backwards", "beyond", "before", "hidden"],
)
def test_records_on_offsets_of_others_are_not_read(offset_deltas: list[int]) -> None:
    opened = b"".join(
        field(b"\0" + varint(0) + varint(delta) + field(None) + field(b"v") + varint(0)) for delta in offset_deltas
    )

    records, ranges, _ = read(batch(opened, 3))

    assert records == []
    assert [one[:2] for one in ranges] == [(0, 2)]


@pytest.mark.parametrize(
    "headers",
    [[(b"\xff\xfe", b"1")], [(b"n%d" % n, None) for n in range(5000)], [(b"", b"x" * 100_000)]],
    ids=["not UTF-8", "thousands", "huge"],
)
def test_odd_headers_cost_nothing(headers: list[tuple[bytes, bytes | None]]) -> None:
    records, ranges, _ = records_of(batch(body([Sent(b"v0", None, headers), Sent(b"v1")]), 2))

    assert [one.value for one in records] == [b"v0", b"v1"]
    assert len(records[0].headers) == len(headers)
    assert ranges == []


def test_headers_without_number_are_never_made() -> None:
    """Half a million empty ones, which are 40 MB as objects, are a megabyte on the wire and nothing when compressed."""
    count = MAX_NATIVE_BYTES
    frame = b"\0" + varint(0) + varint(0) + field(None) + field(b"v") + varint(count) + b"\0\1" * count

    records, ranges, _ = records_of(batch(field(frame), 1, codec="zstd"))

    assert (records[0].value, ranges) == (b"v", [])
    assert len(records[0].headers) == 10_000


@pytest.mark.parametrize("length", [2**31, 2**62, 2**63 - 1, -(2**63)])
def test_no_claimed_length_is_believed(length: int) -> None:
    frame = b"\0" + varint(0) + varint(0) + varint(length) + b"xyz"

    records, ranges, _ = read(batch(field(frame), 1))

    assert (records, len(ranges)) == ([], int(length > 0) or 1)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_bomb_costs_its_offsets(codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordSet, "ceiling", 100_000)

    _, ranges, following = read(batch(body([Sent(b" " * 200_000), *FIVE]), 6, codec=codec))

    assert ranges == [(0, 5, f"{codec}: more than 100000 bytes when decompressed (kafka.max_batch_bytes)")]
    assert following == 6


@pytest.mark.parametrize("magic", [0, 1])
def test_messages_of_old_formats_are_read(magic: int) -> None:
    messages = [legacy(magic, Sent(b"v", b"k"), offset=3), legacy(magic, Sent(None, None), offset=4)]

    records, ranges, following = records_of(*messages, position=3)

    times = [NOW_MS * magic] * 2
    assert [(one.offset, one.timestamp, one.key, one.value, one.headers) for one in records] == [
        (3, times[0], b"k", b"v", []),
        (4, times[1], None, None, []),
    ]
    assert (ranges, following) == ([], 5)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4"])
@pytest.mark.parametrize(("magic", "inner_offsets"), [(1, (0, 1, 2)), (0, (7, 8, 9))])
def test_compressed_messages_of_old_formats_are_read(magic: int, inner_offsets: tuple[int, ...], codec: str) -> None:
    inner = b"".join(legacy(magic, Sent(b"v%d" % n), offset=n) for n in inner_offsets)
    outer = legacy(magic, Sent(bytes(ENCODERS[codec](inner))), offset=9, codec=CODECS[codec])

    records, ranges, following = records_of(outer, position=7)

    assert [(one.offset, one.value) for one in records] == [
        (offset, b"v%d" % n) for offset, n in zip((7, 8, 9), inner_offsets, strict=True)
    ]
    assert (ranges, following) == ([], 10)


def test_a_damaged_message_of_an_old_format_costs_its_offset() -> None:
    inner = legacy(1, Sent(b"x"))[:-1]
    cut = legacy(1, Sent(bytes(ENCODERS["gzip"](inner))), offset=1, codec=1)

    records, ranges, following = read(flipped(legacy(1, Sent(b"v"))), cut, legacy(1, Sent(b"w"), offset=2))

    assert (records, following) == ([(2, b"w")], 3)
    assert [one[:2] for one in ranges] == [(0, 0), (1, 1)]


@given(
    st.sampled_from(sorted(CODECS)),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=12),
    st.booleans(),
    st.booleans(),
)
def test_whatever_bytes_are_changed_every_offset_is_read_or_reported(
    codec: str, changes: list[tuple[int, int]], sealed: bool, native: bool
) -> None:
    """Of a batch as a broker keeps it: its place, length, count and last offset are the broker's to check."""
    sent = [Sent(b'{"n":%d}' % n, b"k", [(b"h", b"x")]) for n in range(8)]
    raw = bytearray(batch(body(sent), 8, codec=codec))
    kept = {*range(17), *range(23, 27), *range(57, HEADER_BYTES)}
    for place, byte in changes:
        position = place % len(raw)
        if position not in kept:
            raw[position] = byte

    after = at(8, batch(body(FIVE), 5))
    try:
        records, ranges, following = read(resealed(raw) if sealed else bytes(raw), after, native=native)
    except SalespulseError as error:
        pytest.fail(f"reading was stopped by {error}")

    covered = [offset for offset, _ in records] + [n for first, last, _ in ranges for n in range(first, last + 1)]
    hidden = sealed and raw[22] & 0x20
    assert following == 13
    assert sorted(covered) == list(range(13)) or (hidden and set(range(8, 13)) <= set(covered))


@given(st.binary(max_size=300))
def test_no_bytes_stop_the_reading(raw: bytes) -> None:
    records_of(raw)
