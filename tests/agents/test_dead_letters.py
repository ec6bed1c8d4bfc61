"""Dead letters: as they came, with the reason and the place."""

from processors.agents.dead_letter_messages import MAX_KEY_BYTES, MAX_VALUE_BYTES, DeadLetterFactory
from processors.kafka.record_frames import UnreadableRange
from schemas import codec
from schemas.errors import BadRecord, Reason
from tests.agents.workbench import Record
from tests.story import answered

LETTERS = DeadLetterFactory("letters", "salespulse")
BAD = BadRecord(Reason.MALFORMED, "Expected `str` - at `$.customer_id` 'Ü'")


def test_a_letter_says_why_from_where_and_for_which_group() -> None:
    letter = LETTERS.of_record(("crm.events", 3), Record(77, b"{", b"c9"), BAD)

    assert (letter.topic, letter.key, letter.value) == ("letters", b"c9", b"{")
    assert dict(letter.headers) == {
        "reason": b"malformed",
        "detail": BAD.detail.encode(),
        "topic": b"crm.events",
        "partition": b"3",
        "offset": b"77",
        "group": b"salespulse",
        "timestamp_ms": b"1772438400000",
    }


def test_a_huge_value_is_cut_and_its_length_kept() -> None:
    letter = LETTERS.of_record(("crm.events", 0), Record(0, b"x" * 5_000_000), BAD)

    assert letter.value == b"x" * MAX_VALUE_BYTES
    assert dict(letter.headers)["value_bytes"] == b"5000000"


def test_a_huge_key_is_cut_as_well_and_its_length_kept() -> None:
    """A sender that takes the value for the key: the letter has to fit into a message all the same."""
    letter = LETTERS.of_record(("crm.events", 0), Record(0, b"x" * 5_000_000, b"k" * 2_000_000), BAD)

    assert letter.key == b"k" * MAX_KEY_BYTES
    assert dict(letter.headers)["key_bytes"] == b"2000000"
    assert len(letter.key or b"") + len(letter.value or b"") < 600_000


def test_a_letter_from_an_accepted_log_names_its_base_whether_of_a_record_or_of_a_batch() -> None:
    of_record = LETTERS.of_record(("crm.events", 0), Record(7, b"{"), BAD, 1000)
    of_batch = LETTERS.of_batch(("crm.events", 0), UnreadableRange(7, 9, "its checksum is wrong", b"raw"), 5, 1000)

    assert [dict(letter.headers)["log_base"] for letter in (of_record, of_batch)] == [b"1000", b"1000"]
    assert dict(of_batch.headers)["last_offset"] == b"9"
    assert "log_base" not in dict(LETTERS.of_batch(("crm.events", 0), UnreadableRange(7, 9, "", b""), 5).headers)


def test_an_event_that_turned_out_bad_is_written_as_an_event() -> None:
    event = answered(1)

    bad = BadRecord(Reason.ORPHAN, "never opened")
    letter = LETTERS.of_event(("crm.events", 0), event, bad, {"crm.events": 9})

    assert letter.key == event.customer_id.encode()
    assert codec.decode_event(letter.value or b"") == event
    assert dict(letter.headers)["group"] == b"salespulse"
    assert "offset" not in dict(letter.headers)
    assert dict(letter.headers)["next_offsets"] == b'{"crm.events":9}'
