"""The two tables towards Faust: the journal fills the partitions, and neither hides an error."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from config.settings import Settings
from processors.agents.app import WorkerApp, WorkerDependencies, build_app
from processors.agents.directory_table import DirectoryTable
from processors.agents.journal_format import JournalError, JournalPosition, encode_key, encode_segment
from processors.agents.journal_table import JournalTable
from processors.agents.metrics import WorkerMetrics
from processors.agents.partitions import NO_OFFSET
from processors.core.time.instants import instant_us
from processors.kafka.record_frames import UnreadableRange
from schemas import codec
from schemas.errors import BadRecord
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY
from schemas.views import UNASSIGNED
from tests.agents.workbench import CLOCK_US, TOPIC, MemoryReadModel
from tests.story import DAY, activity, at, rep

JOURNAL = "salespulse-journal-changelog"


class Noon:
    """A clock that stands still."""

    def now_us(self) -> int:
        return CLOCK_US


class Bench:
    """An app that is not started, its tables and its metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.app: WorkerApp = build_app(
            Settings(), WorkerDependencies(DEFAULT_POLICY, Noon(), MemoryReadModel(), WorkerMetrics(self.registry))
        )
        tables: Any = self.app.tables
        self.journal: JournalTable = tables["journal"]
        self.reps: DirectoryTable = tables["reps"]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


def event(value: bytes | None, *, key: bytes = b"k", offset: int = 0, partition: int = 0) -> Any:
    """A Faust event of a table's topic."""
    message = SimpleNamespace(partition=partition, offset=offset, timestamp=CLOCK_US / 1_000_000, generation_id=1)
    return SimpleNamespace(key=key, value=value, message=message)


def segment(*events: Event, next_offset: int) -> bytes:
    position = JournalPosition({TOPIC: next_offset}, CLOCK_US, {})
    return encode_segment(position, [codec.encode(one) for one in events], last=True)


def assigned(*numbers: int) -> set[TP]:
    return {TP(topic, number) for topic in (TOPIC, JOURNAL) for number in numbers}


def test_an_assignment_makes_room_and_recovery_fills_it() -> None:
    async def recover() -> Bench:
        bench = Bench()
        await bench.journal.on_rebalance(assigned(0, 2), set(), assigned(0, 2), 1)
        old = activity(-500 * DAY, event_id="old")
        value = segment(activity(1, event_id="new"), old, next_offset=9)
        bench.journal.apply_changelog_batch([event(value, key=encode_key(0, 5), offset=4, partition=2)])
        bench.app.partitions.set_changelogs_read(1)
        await bench.journal.on_recovery_completed(set(), set())
        return bench

    bench = asyncio.run(recover())

    empty, full = bench.app.partitions
    assert (empty.number, full.number) == (0, 2)
    assert full.recovered
    assert full.ledger.facts.keys() == {"new", "old"}
    assert full.next_offsets == full.durable_offsets == {TOPIC: 9}
    assert bench.journal.persisted_offset(TP(JOURNAL, 2)) == 4
    assert bench.journal.persisted_offset(TP(JOURNAL, 0)) == NO_OFFSET
    assert bench.journal.persisted_offset(TP(JOURNAL, 7)) == NO_OFFSET
    assert bench.value("salespulse_rebalances_total") == 1
    assert bench.value("salespulse_recovery_seconds_count") == 1


def test_from_recovery_on_the_clock_decides_what_is_too_early() -> None:
    async def recover() -> Bench:
        bench = Bench()
        await bench.journal.on_rebalance(assigned(0), set(), assigned(0), 1)
        bench.app.partitions.set_changelogs_read(1)
        await bench.journal.on_recovery_completed(set(), set())
        return bench

    (partition,) = asyncio.run(recover()).app.partitions

    with pytest.raises(BadRecord, match="clock_skew"):
        partition.ledger.apply(activity((CLOCK_US - instant_us(at(0))) / 60_000_000 + 6))


@pytest.mark.parametrize("key", [b"key", encode_key(0, 5), bytes([255]) * 16], ids=["key", "value", "ordinal"])
def test_a_record_that_no_worker_has_written_is_a_dead_letter_and_leaves_the_journal(key: bytes) -> None:
    async def recover() -> Bench:
        bench = Bench()
        await bench.journal.on_rebalance(assigned(0), set(), assigned(0), 1)
        good = event(segment(activity(1, event_id="one"), next_offset=9), key=encode_key(7, 5))
        bench.journal.apply_changelog_batch([event(b"nonsense", key=key, offset=3), good])
        bench.app.partitions.set_changelogs_read(1)
        await bench.journal.on_recovery_completed(set(), set())
        return bench

    bench = asyncio.run(recover())
    (partition,) = bench.app.partitions
    assert partition.ledger.facts.keys() == {"one"}
    (letter,) = partition.outbox.unsent
    assert (letter.topic, letter.key, letter.value) == ("crm.dead-letters", key, b"nonsense")
    headers = dict(letter.headers)
    assert (headers["topic"], headers["offset"]) == (JOURNAL.encode(), b"3")
    assert bench.value("salespulse_dead_letters_total", reason="malformed") == 1
    partition.cut()
    partition.next_offsets[TOPIC] = 10
    _, entries = partition.cut()
    assert (key, None) in entries


def test_a_changelog_of_a_later_version_stops_the_worker() -> None:
    later = msgspec.msgpack.encode([2, True, {}, 0, {}, []])

    async def recover() -> Bench:
        bench = Bench()
        await bench.journal.on_rebalance(assigned(0), set(), assigned(0), 1)
        with pytest.raises(JournalError):
            bench.journal.apply_changelog_batch([event(later, key=encode_key(0, 5))])
        await asyncio.wait_for(bench.app.failed(), 5)
        return bench

    assert isinstance(asyncio.run(recover()).app.crash_reason, JournalError)


def test_a_range_of_the_journal_that_cannot_be_read_stops_the_worker_with_the_mend() -> None:
    async def recover() -> Bench:
        bench = Bench()
        await bench.journal.on_rebalance(assigned(0), set(), assigned(0), 1)
        unreadable: Any = UnreadableRange(3, 5, "its checksum is wrong", b"raw")
        with pytest.raises(JournalError, match=r"offsets 3 to 5 of the journal cannot be read .*set kafka.group"):
            bench.journal.apply_changelog_batch([event(unreadable, offset=5)])
        await asyncio.wait_for(bench.app.failed(), 5)
        return bench

    assert isinstance(asyncio.run(recover()).app.crash_reason, JournalError)


def test_a_range_of_the_directory_leaves_the_former_entries_in_place(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    unreadable: Any = UnreadableRange(1, 4, "compression codec 6 is unknown", b"raw")

    bench.reps.apply_changelog_batch([event(codec.encode(rep("ann", "north")), key=b"ann")])
    bench.reps.apply_changelog_batch([event(unreadable, offset=4)])

    assert bench.reps.drain_changed() == {"ann"}
    assert "crm.reps/0 offsets 1 to 4 cannot be read: compression codec 6 is unknown" in caplog.text


def test_the_directory_takes_entries_and_says_who_changed() -> None:
    bench = Bench()
    entries = [rep("ann", "north"), rep("bob"), rep("ann", "north"), rep("ann", "south")]

    bench.reps.apply_changelog_batch([event(codec.encode(entry), offset=n) for n, entry in enumerate(entries)])

    assert bench.reps.drain_changed() == {"ann", "bob"}
    assert bench.reps.drain_changed() == set()
    assert bench.reps.offsets == {"ann": 3, "bob": 1}
    assert bench.value("salespulse_events_total", type="rep.updated", result="applied") == 4


def test_a_tombstone_takes_a_rep_out_of_the_directory() -> None:
    bench = Bench()
    bench.reps.apply_changelog_batch([event(codec.encode(rep("ann", "north", "Asia/Tokyo")), offset=3)])
    assert bench.reps.drain_changed() == {"ann"}

    bench.reps.apply_changelog_batch([event(None, key=b"ann", offset=4), event(None, key=b"bob", offset=5)])

    # Of bob, compaction has left the tombstone alone; the read model may still have the entry.
    assert bench.reps.drain_changed() == {"ann", "bob"}
    assert bench.reps.offsets == {"ann": 4, "bob": 5}
    assert bench.value("salespulse_events_total", type="rep.updated", result="tombstone") == 2


def test_what_nobody_expected_of_the_directory_stops_the_worker() -> None:
    async def take() -> Bench:
        bench = Bench()
        no_bytes: Any = 5
        with pytest.raises(TypeError):
            bench.reps.apply_changelog_batch([event(no_bytes)])
        await asyncio.wait_for(bench.app.failed(), 5)
        return bench

    assert isinstance(asyncio.run(take()).app.crash_reason, TypeError)


def test_a_bad_entry_leaves_the_former_one_in_place(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bad = [b"{", codec.encode(rep("ann", time_zone="Mars/Olympus"))]

    bench.reps.apply_changelog_batch([event(codec.encode(rep("ann", "north")), key=b"ann")])
    bench.reps.apply_changelog_batch([event(value, key=b"ann", offset=n) for n, value in enumerate(bad, 1)])

    assert bench.reps.drain_changed() == {"ann"}
    assert bench.reps.offsets == {"ann": 2}
    assert bench.value("salespulse_events_total", type="rep.updated", result="malformed") == 2
    assert "crm.reps/0 offset 2: malformed: unknown time zone 'Mars/Olympus'" in caplog.text


@pytest.mark.parametrize("rep_id", [UNASSIGNED, " "])
def test_an_entry_that_an_earlier_version_took_leaves_the_read_model(rep_id: str) -> None:
    bench = Bench()

    bench.reps.apply_changelog_batch([event(codec.encode(rep(rep_id, "triage")), key=rep_id.encode(), offset=7)])

    assert bench.reps.drain_changed() == {rep_id}
    assert bench.reps.offsets == {rep_id: 7}
