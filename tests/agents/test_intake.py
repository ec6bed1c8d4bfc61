"""The intake: facts are applied and journalled, bad records are dead letters, nothing is skipped in silence."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from processors.agents import intake
from processors.agents.fetching import Fetched
from processors.agents.intake import LostRecords
from processors.core.ledger.data_quality import MAX_DAYS, MAX_EXAMPLE_CHARACTERS
from processors.core.ledger.retention import Retention
from processors.core.time.instants import DAY_US, moment
from processors.kafka.record_set import RecordSet
from schemas import codec
from schemas.errors import Reason
from tests.agents.workbench import CLOCK_US, SOURCE, TOPIC, IntakeHarness, Record, RecordBatch, batch, new_partitions
from tests.hostile import wire
from tests.story import activity, opened, revenue

NEVER_DECODED = b'{"type":"activity.logged"'


def test_events_are_applied_and_wait_for_the_journal_as_they_came() -> None:
    harness = IntakeHarness()
    events = [activity(n, event_id=f"a{n}") for n in range(3)]

    harness.apply(*events)

    assert set(harness.partition.ledger.facts) == {"a0", "a1", "a2"}
    assert harness.partition.journal.pending == [codec.encode(event) for event in events]
    assert harness.partition.next_offsets == {TOPIC: 3}
    assert harness.value("salespulse_events_total", type="activity.logged", result="applied") == 3


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{nonsense", Reason.MALFORMED),
        (b"", Reason.MALFORMED),
        (b"null", Reason.MALFORMED),
        ("{'customer': 'M\xfcller'}".encode("latin-1"), Reason.MALFORMED),
        (b"[" * 60_000, Reason.MALFORMED),
        (codec.encode(opened(1)).replace(b"request.opened", b"request.reopened"), Reason.UNKNOWN_TYPE),
        (codec.encode(opened(1)).replace(b'"channel":"email",', b'"x":1,'), Reason.MALFORMED),
        (codec.encode(opened(1)).replace(b"Z", b""), Reason.MALFORMED),
        (codec.encode(opened(1, "r" * 129)), Reason.MALFORMED),
        (codec.encode(revenue(1, "9.995")), Reason.MALFORMED),
        (b" " * (codec.MAX_EVENT_BYTES + 1), Reason.TOO_LARGE),
    ],
    ids=["json", "empty", "null", "encoding", "depth", "type", "field", "naive", "id", "amount", "size"],
)
def test_a_bad_record_is_a_dead_letter_and_the_stream_goes_on(value: bytes, reason: Reason) -> None:
    harness = IntakeHarness()

    harness.apply(value, activity(1, event_id="good"))

    (letter,) = harness.partition.outbox.unsent
    assert letter.topic == "crm.dead-letters"
    assert (letter.key, letter.value) == (b"c1", value)
    headers = dict(letter.headers)
    assert headers["reason"].decode() == reason
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"crm.events", b"0", b"0")
    assert set(harness.partition.ledger.facts) == {"good"}
    assert harness.partition.next_offsets == {TOPIC: 2}
    assert harness.value("salespulse_dead_letters_total", reason=reason) == 1
    assert [reason in counts for counts in harness.partition.ledger.quality.values()] == [True]


def test_a_batch_that_cannot_be_read_is_one_dead_letter_with_its_offsets_and_what_follows_is_read() -> None:
    harness = IntakeHarness()
    records = RecordSet(wire.batch(b"garbage", 3) + (3).to_bytes(8, "big") + wire.batch(good_one(), 1)[8:])
    batches = [records.next_batch(), records.next_batch()]

    asyncio.run(harness.intake.apply(SOURCE, Fetched(batches, 0, 4)))

    (letter,) = harness.partition.outbox.unsent
    headers = dict(letter.headers)
    assert (headers["reason"], headers["offset"], headers["last_offset"]) == (b"unreadable_batch", b"0", b"2")
    assert (headers["topic"], headers["partition"]) == (b"crm.events", b"0")
    assert letter.value == wire.batch(b"garbage", 3)
    assert set(harness.partition.ledger.facts) == {"good"}
    assert harness.partition.next_offsets == {TOPIC: 4}
    assert harness.partition.ledger.quality == {CLOCK_US // DAY_US: {"unreadable_batch": 1}}
    assert harness.value("salespulse_dead_letters_total", reason="unreadable_batch") == 1
    assert harness.value("salespulse_unreadable_records_total", topic=TOPIC) == 3


def good_one() -> bytes:
    return wire.body([wire.Sent(codec.encode(activity(1, event_id="good")), b"c1")])


def test_very_many_dead_letters_are_sent_before_more_are_read() -> None:
    """A fetch of 100 MB of blanks, as compressed batches become: at most a portion waits in memory."""
    harness = IntakeHarness()
    blanks = batch([b" " * 1_000_000] * 100)
    partitions = [RecordBatch([record]) for record in next(blanks.batches[0].chunks(print))]

    asyncio.run(harness.intake.apply(SOURCE, blanks._replace(batches=list(partitions))))

    assert harness.make_durabled >= 2
    assert harness.value("salespulse_dead_letters_total", reason="too_large") == 100
    assert harness.partition.next_offsets == {TOPIC: 100}


def test_a_tombstone_is_counted_and_ignored() -> None:
    harness = IntakeHarness()

    harness.apply(None)

    assert harness.partition.outbox.unsent == []
    assert list(harness.partition.ledger.quality.values()) == [{"tombstone": 1}]
    assert harness.partition.next_offsets == {TOPIC: 1}


def test_records_with_another_key_than_their_customer_count_and_are_noted_with_an_example() -> None:
    harness = IntakeHarness()
    values = [codec.encode(activity(n, event_id=f"a{n}", customer="c2")) for n in range(3)]
    records = RecordBatch(
        [
            Record(0, values[0], None),
            Record(1, values[1], b"c2"),
            Record(2, values[2], b"\x00" + b"r" * 1000),
            Record(3, values[2], b"c1"),
            Record(4, None, b"c1"),
        ]
    )

    asyncio.run(harness.intake.apply(SOURCE, Fetched([records], 0, 5)))

    assert set(harness.partition.ledger.facts) == {"a0", "a1", "a2"}
    (counts,) = harness.partition.ledger.quality.values()
    assert counts == {"key_mismatch": 3, "duplicate": 1, "tombstone": 1}
    assert harness.value("salespulse_key_mismatches_total") == 3
    example = harness.partition.ledger.data_quality.examples["key_mismatch"]
    assert example == "customer 'c2' with the key 'c1' in crm.events/0 at offset 3"
    assert harness.partition.outbox.unsent == []


def test_an_example_of_a_wrong_key_is_short_and_has_no_control_characters() -> None:
    harness = IntakeHarness()
    value = codec.encode(activity(1, customer="c2"))
    for offset, key in enumerate((b"\x1b[31m\n" + b"r" * 100_000, "\u202e".encode() * 100, b"\xff\xfe", None)):
        asyncio.run(
            harness.intake.apply(SOURCE, Fetched([RecordBatch([Record(offset, value, key)])], offset, offset + 1))
        )
        example = harness.partition.ledger.data_quality.examples["key_mismatch"]
        assert len(example) <= MAX_EXAMPLE_CHARACTERS
        assert example.isprintable()


def test_timestamps_of_any_day_leave_a_small_mark() -> None:
    """A byte a record, each stamped on another day, ended in journal records that no broker takes."""
    harness = IntakeHarness()
    harness.partition.ledger.retention = Retention()
    records = RecordBatch(Record(n, b"{", b"c1", n * DAY_US // 1000) for n in range(30_000))

    asyncio.run(harness.intake.apply(SOURCE, Fetched([records], 0, len(records))))

    position, entries = harness.partition.cut()
    assert sum(counts["malformed"] for counts in position.quality.values()) == len(records)
    assert len(position.quality) <= MAX_DAYS
    assert max(len(value or b"") for _, value in entries) < 16_000


def test_a_worst_mark_of_every_reason_on_every_day_fits_many_times_into_a_message() -> None:
    harness = IntakeHarness()
    harness.partition.ledger.retention = Retention()
    harness.partition.ledger.set_clock(CLOCK_US)
    for day in range(CLOCK_US // DAY_US - 2 * MAX_DAYS, CLOCK_US // DAY_US + 1):
        for reason in Reason:
            harness.partition.ledger.count_flaw(reason, day, 10**6)
    _, ((_, value),) = harness.partition.cut()
    assert value is not None
    assert len(value) < 128 * 1024


def test_examples_survive_a_restart() -> None:
    harness = IntakeHarness()
    harness.apply(activity(1, customer="c2"))
    _, entries = harness.partition.cut()
    successor = new_partitions()
    successor.assign([0], generation=1)
    partition = successor.get(0)
    assert partition is not None
    for offset, (key, value) in enumerate(entries):
        partition.restore(key, value, offset)
    partition.begin(CLOCK_US)
    assert partition.ledger.quality == harness.partition.ledger.quality
    assert partition.ledger.data_quality.examples == harness.partition.ledger.data_quality.examples != {}


def test_a_duplicate_is_counted_and_not_journalled_again() -> None:
    harness = IntakeHarness()
    event = activity(1)

    harness.apply(event, event)

    assert len(harness.partition.journal.pending) == 1
    assert list(harness.partition.ledger.quality.values()) == [{"duplicate": 1}]


def test_records_that_are_applied_already_are_skipped_without_a_trace() -> None:
    harness = IntakeHarness()
    event = activity(1)
    harness.apply(event, b"bad")
    before = {day: dict(counts) for day, counts in harness.partition.ledger.quality.items()}

    harness.apply(event, b"bad", activity(2), start=0)

    assert harness.partition.ledger.quality == before
    assert len(harness.partition.journal.pending) == 2
    assert harness.partition.next_offsets == {TOPIC: 3}


def test_a_batch_of_markers_moves_the_offset() -> None:
    harness = IntakeHarness()

    asyncio.run(harness.intake.apply(SOURCE, batch([])._replace(end=4)))

    assert harness.partition.next_offsets == {TOPIC: 4}


def test_a_gap_that_the_topic_can_still_fill_stops_the_worker() -> None:
    harness = IntakeHarness()
    harness.apply(activity(1))

    with pytest.raises(LostRecords, match=r"crm\.events/0: offset 1 was to come next, but 5 came"):
        harness.apply(activity(2), start=5)


def test_records_that_left_the_topic_are_lost_aloud(caplog: pytest.LogCaptureFixture) -> None:
    harness = IntakeHarness()
    harness.apply(activity(1))
    harness.first_offset = 5

    harness.apply(activity(2), start=5)

    assert "offsets 1 to 4 left the topic" in caplog.text
    assert harness.value("salespulse_records_lost_total") == 4
    assert harness.partition.next_offsets == {TOPIC: 6}


def test_a_fresh_partition_may_begin_wherever_its_topic_begins() -> None:
    harness = IntakeHarness()

    harness.apply(activity(1), start=700)

    assert harness.partition.next_offsets == {TOPIC: 701}
    assert harness.value("salespulse_records_lost_total") == 0


def test_a_batch_of_a_partition_that_has_left_is_ignored() -> None:
    harness = IntakeHarness()
    harness.partitions.assign([], generation=2)

    harness.apply(activity(1))

    assert harness.partition.next_offsets == {}


def test_anything_unexpected_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = IntakeHarness()
    monkeypatch.setattr(intake, "apply_messages", lambda *_: 1 / 0)

    async def events() -> AsyncIterator[Any]:
        yield SimpleNamespace(message=SimpleNamespace(tp=SOURCE), value=batch([activity(1)]))

    with pytest.raises(ZeroDivisionError):
        asyncio.run(harness.intake.run(events()))
    assert [type(reason) for reason in harness.crashed] == [ZeroDivisionError]


def test_s28_what_lies_in_the_future_is_judged_by_the_clock_of_its_arrival() -> None:
    harness = IntakeHarness()
    ahead = moment(CLOCK_US + 600 * 1_000_000)
    late = msgspec.structs.replace(activity(1), occurred_at=ahead)
    harness.apply(late)
    assert harness.value("salespulse_dead_letters_total", reason="clock_skew") == 1
    harness.clock_us += 400 * 1_000_000
    harness.apply(msgspec.structs.replace(late, event_id="again"))
    assert harness.value("salespulse_dead_letters_total", reason="clock_skew") == 1
    assert "again" in harness.partition.ledger.facts


def test_records_that_come_again_make_it_ask_whether_the_topic_is_the_same() -> None:
    harness = IntakeHarness()
    harness.apply(activity(1, event_id="a"), activity(2, event_id="b"))
    assert harness.checks == 0
    harness.apply(activity(2, event_id="b"), activity(3, event_id="c"), start=1)
    assert harness.checks == 1
    assert harness.partition.next_offsets == {TOPIC: 3}
