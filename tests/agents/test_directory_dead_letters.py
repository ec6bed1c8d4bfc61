"""Refused entries of the directory: one worker makes one dead letter of each, whoever reads it and however often."""

import msgspec

from processors.agents.dead_letter_messages import DeadLetterFactory
from processors.agents.directory_dead_letters import DirectoryDeadLetters, RefusedEntry
from processors.agents.journal_format import FORMAT_VERSION, encode_key
from processors.kafka.record_frames import UnreadableRange
from schemas.errors import BadRecord, Reason
from tests.agents.test_checkpoints import Counter
from tests.agents.workbench import CLOCK_US

LETTERS = "crm.dead-letters"
DAY_MS = 86_400_000
AT_MS = CLOCK_US // 1000


def refused(offset: int, partition: int = 0) -> RefusedEntry:
    return RefusedEntry(partition, offset, b"ann", b"{", AT_MS, BadRecord(Reason.MALFORMED, "truncated"))


class Reader:
    """A worker with one open partition, and the refusals of its directory."""

    def __init__(self) -> None:
        self.counter = Counter()
        self.harness = self.counter.harness
        self.directory_dead_letters = DirectoryDeadLetters(
            self.harness.partitions, "crm.reps", DeadLetterFactory(LETTERS, "salespulse"), self.harness.metrics
        )

    def read(self, *entries: RefusedEntry) -> None:
        for entry in entries:
            self.directory_dead_letters.add(entry)
        self.directory_dead_letters.report()
        self.counter.flush()

    def directory_reported_to(self) -> list[tuple[bytes, bytes]]:
        headers = [dict(message.headers) for message in self.counter.sent.on(LETTERS)]
        return [(each["partition"], each["offset"]) for each in headers]


def test_a_refused_entry_is_a_dead_letter_as_it_came_and_counts_on_the_day_on_which_it_came() -> None:
    reader = Reader()

    reader.read(refused(7, partition=2))

    (letter,) = reader.counter.sent.on(LETTERS)
    assert (letter.key, letter.value) == (b"ann", b"{")
    assert dict(letter.headers) == {
        "reason": b"malformed",
        "detail": b"truncated",
        "topic": b"crm.reps",
        "partition": b"2",
        "offset": b"7",
        "timestamp_ms": str(AT_MS).encode(),
        "group": b"salespulse",
    }
    assert reader.harness.partition.ledger.quality == {AT_MS // DAY_MS: {"malformed": 1}}
    assert reader.harness.value("salespulse_dead_letters_total", reason="malformed") == 1


def test_a_batch_of_entries_that_cannot_be_read_is_one_dead_letter_and_is_not_reported_again() -> None:
    reader = Reader()
    why = BadRecord(Reason.UNREADABLE_BATCH, "its checksum is wrong")
    unreadable = UnreadableRange(3, 6, "its checksum is wrong", b"raw")
    entry = RefusedEntry(0, 3, None, b"raw", AT_MS, why, unreadable)

    reader.read(entry)
    reader.read(entry, refused(7))

    batch, other = reader.counter.sent.on(LETTERS)
    headers = dict(batch.headers)
    assert (batch.key, batch.value) == (None, b"raw")
    assert (headers["reason"], headers["offset"], headers["last_offset"]) == (b"unreadable_batch", b"3", b"6")
    assert dict(other.headers)["offset"] == b"7"
    assert reader.harness.value("salespulse_dead_letters_total", reason="unreadable_batch") == 1
    assert reader.harness.value("salespulse_unreadable_records_total", topic="crm.reps") == 4


def test_an_entry_that_is_read_again_is_not_reported_again_and_a_new_one_is() -> None:
    reader = Reader()
    reader.read(refused(3), refused(5), refused(1, partition=1))

    reader.read(refused(3), refused(5), refused(6), refused(1, partition=1))

    assert reader.directory_reported_to() == [(b"0", b"3"), (b"0", b"5"), (b"1", b"1"), (b"0", b"6")]


def test_how_far_was_reported_is_in_the_journal_before_anybody_else_may_report() -> None:
    reader = Reader()
    reader.read(refused(3))
    (entry,) = reader.counter.sent.on("journal")
    successor = Reader()
    successor.harness.partitions.assign([0], generation=9)
    partition = successor.harness.partitions.get(0)
    assert partition is not None

    assert successor.directory_dead_letters.must_reread
    successor.directory_dead_letters.add(refused(3))
    successor.directory_dead_letters.report()
    partition.restore(entry[0], entry[1], 0)
    partition.begin(CLOCK_US)
    successor.directory_dead_letters.add(refused(4))
    successor.directory_dead_letters.report()

    assert not successor.directory_dead_letters.must_reread
    assert partition.directory_reported_to == {0: 5}
    assert [dict(message.headers)["offset"] for message in partition.outbox.unsent] == [b"4"]


def test_a_journal_from_before_this_was_kept_says_that_nothing_was_reported() -> None:
    reader = Reader()
    reader.harness.partitions.assign([0], generation=9)
    partition = reader.harness.partitions.get(0)
    assert partition is not None

    partition.restore(encode_key(0, 5), msgspec.msgpack.encode([FORMAT_VERSION, True, {}, CLOCK_US, {}, []]), 0)
    partition.begin(CLOCK_US)

    assert partition.directory_reported_to == {}


def test_a_worker_without_the_partition_tells_nothing_and_remembers_nothing() -> None:
    reader = Reader()
    reader.harness.partitions.assign([1], generation=2)
    reader.directory_dead_letters.add(refused(3))
    reader.directory_dead_letters.report()
    reader.harness.partitions.assign([0, 1], generation=3)
    partition = reader.harness.partitions.get(0)
    assert partition is not None
    partition.begin(CLOCK_US)

    reader.directory_dead_letters.report()

    assert partition.outbox.unsent == []


def test_what_waited_for_an_earlier_life_of_the_partition_waits_no_more() -> None:
    reader = Reader()
    reader.harness.partitions.assign([0], generation=7)
    reader.directory_dead_letters.add(refused(9))
    reader.harness.partitions.assign([0], generation=9)
    partition = reader.harness.partitions.get(0)
    assert partition is not None
    partition.begin(CLOCK_US)

    reader.directory_dead_letters.add(refused(3))
    reader.directory_dead_letters.report()
    reader.directory_dead_letters.add(refused(9))
    reader.directory_dead_letters.report()

    assert [dict(message.headers)["offset"] for message in partition.outbox.unsent] == [b"3", b"9"]
