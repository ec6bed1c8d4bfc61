"""The journal's format on the wire."""

import msgspec
import pytest

from processors.agents.journal_format import (
    JournalError,
    JournalPosition,
    SourceLog,
    covers,
    decode_key,
    decode_segment,
    encode_key,
    encode_segment,
    slices_up_to,
)

POSITION = JournalPosition({"crm.events": 7}, 1_700_000_000_000_000, {20_000: {"duplicate": 2}})


def test_a_segment_survives_its_bytes() -> None:
    segment = decode_segment(encode_segment(POSITION, [b"{}", b"[]"], last=True))

    assert (segment.next_offsets, segment.advanced_us, segment.quality) == (
        POSITION.next_offsets,
        POSITION.advanced_us,
        POSITION.quality,
    )
    assert segment.events == [b"{}", b"[]"]
    assert segment.last


def test_keys_sort_by_ordinal_and_tell_writers_apart() -> None:
    assert encode_key(1, 9) < encode_key(2, 3) < encode_key(256, 0)
    assert decode_key(encode_key(5, 2**64 - 1)) == (5, 2**64 - 1)


@pytest.mark.parametrize("key", [b"", b"12345678", b"x" * 17])
def test_a_foreign_key_is_refused_with_its_reason(key: bytes) -> None:
    with pytest.raises(JournalError, match="another topic"):
        decode_key(key)


@pytest.mark.parametrize("value", [b"", b"\xc1", msgspec.msgpack.encode([1, True])])
def test_a_value_that_is_no_segment_is_refused(value: bytes) -> None:
    with pytest.raises(JournalError, match="cannot be read"):
        decode_segment(value)


def test_a_later_version_asks_for_a_later_worker() -> None:
    with pytest.raises(JournalError, match="update the worker"):
        decode_segment(msgspec.msgpack.encode([2, True, {}, 0, {}, []]))


def test_what_was_written_before_positions_knew_the_fingerprint_of_reps_is_read() -> None:
    segment = decode_segment(msgspec.msgpack.encode([1, True, {"crm.events": 7}, 5, {}, [b"{}"]]))
    assert (segment.next_offsets, segment.events, segment.reps_fingerprint) == ({"crm.events": 7}, [b"{}"], None)


BEFORE_EXAMPLES = bytes.fromhex(
    "9801c381aa63726d2e6576656e747307cf00060a24181e400081cd4e2081a96475706c69636174650291c4027b7d2a810003"
)
"""A segment as the version before wrote it: quality, fingerprint of reps, and how far the directory is reported."""
WITH_EXAMPLES = bytes.fromhex(
    "9b01c381aa63726d2e6576656e747307cf00060a24181e400081cd4e2081a96475706c69636174650291c4027b7d2a810003"
    "81ac6b65795f6d69736d61746368a861206279206b65798080"
)


def test_what_was_written_before_positions_had_examples_is_read() -> None:
    segment = decode_segment(BEFORE_EXAMPLES)
    assert (
        segment.quality,
        segment.events,
        segment.reps_fingerprint,
        segment.directory_reported_to,
        segment.examples,
    ) == (
        POSITION.quality,
        [b"{}"],
        42,
        {0: 3},
        {},
    )


def test_a_position_is_written_as_it_ever_was_with_examples_at_its_end() -> None:
    position = msgspec.structs.replace(
        POSITION, reps_fingerprint=42, directory_reported_to={0: 3}, examples={"key_mismatch": "a by key"}
    )
    assert encode_segment(position, [b"{}"], last=True) == WITH_EXAMPLES
    assert decode_segment(WITH_EXAMPLES).examples == position.examples


def test_the_bytes_of_a_segment_stay_as_they_are() -> None:
    position = JournalPosition(
        {"e": 7}, 5, {20_000: {"late": 1}}, 9, {0: 3}, {"late": "x"}, {"e": SourceLog("id", 4, 6)}, {2: 8}
    )
    written = encode_segment(position, [b"{}"], last=True)
    assert written.hex() == (
        "9b01c381a165070581cd4e2081a46c6174650191c4027b7d0981000381a46c617465a17881a16593a269640406810208"
    )
    assert decode_segment(written).logs == {"e": SourceLog("id", 4, 6)}
    assert decode_segment(written).alerts == {2: 8}


def test_chunks_hold_every_event_once_in_order_within_the_limit() -> None:
    events = [bytes([n]) * (n % 5 + 1) for n in range(50)]

    cuts = list(slices_up_to(9, [len(event) for event in events]))

    assert [event for cut in cuts for event in events[cut]] == events
    assert all(sum(map(len, events[cut])) <= 9 for cut in cuts)


def test_an_event_above_the_limit_has_a_chunk_of_its_own() -> None:
    assert list(slices_up_to(9, [1, 20, 1])) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert list(slices_up_to(9, [])) == []


def test_offsets_cover_others_when_no_topic_is_behind() -> None:
    assert covers({"a": 3, "b": 2}, {"a": 3})
    assert covers({}, {})
    assert not covers({"a": 3}, {"a": 3, "b": 1})
