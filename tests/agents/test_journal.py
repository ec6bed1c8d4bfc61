"""The journal: whatever is acknowledged is recovered, whoever else writes, wherever a flush is torn."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.agents.journal import Entry, Journal
from processors.agents.journal_format import MAX_SEGMENT_BYTES, MAX_TAIL_BYTES, JournalPosition, decode_segment

TOPIC = "crm.events"


class Log:
    """A compacted topic: the last value of each key, at its last place."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes | None] = {}

    def append(self, entries: Iterable[Entry]) -> None:
        for key, value in entries:
            self.records.pop(key, None)
            self.records[key] = value

    def compact(self) -> None:
        self.records = {key: value for key, value in self.records.items() if value is not None}


class Keeper:
    """A partition as the journal sees it: facts by id, and how far it is."""

    def __init__(self, writer: int) -> None:
        self.facts: dict[str, bytes] = {}
        self.journal = Journal(writer)
        self.offset = 0

    @classmethod
    def recovered(cls, log: Log, writer: int) -> "Keeper":
        keeper = cls(writer)
        for key, value in list(log.records.items()):
            keeper.journal.restore(key, value, keeper.replay)
        keeper.offset = keeper.journal.position.next_offsets.get(TOPIC, 0)
        return keeper

    def replay(self, raw: bytes) -> str:
        event_id = raw.split(b" ")[0].decode()
        self.facts[event_id] = raw
        return event_id

    def add(self, source: list[bytes], count: int) -> None:
        for raw in source[self.offset : self.offset + count]:
            self.offset += 1
            if raw.split(b" ")[0].decode() not in self.facts:
                self.journal.pending.append(raw)
                self.journal.pending_ids.append(self.replay(raw))

    def flush(self) -> list[Entry]:
        self.journal.compact_one(self)
        return self.journal.cut(JournalPosition({TOPIC: self.offset}, self.offset, {0: {"read": self.offset}}))

    def raw(self, event_id: str) -> bytes:
        return self.facts[event_id]

    def __contains__(self, event_id: object) -> bool:
        return event_id in self.facts


def source(count: int, size: int = 100) -> list[bytes]:
    return [f"e{n} ".encode() + b"x" * size for n in range(count)]


def test_small_flushes_rewrite_one_segment_until_it_is_full() -> None:
    keeper, log, events = Keeper(1), Log(), source(2 * MAX_TAIL_BYTES // 100)
    for _ in events:
        keeper.add(events, 1)
        log.append(keeper.flush())

    assert 2 <= len(log.records) <= 3
    assert Keeper.recovered(log, 2).facts == keeper.facts


def test_a_large_flush_is_cut_into_segments_that_fit_a_message() -> None:
    keeper, log, events = Keeper(1), Log(), source(3 * MAX_SEGMENT_BYTES // 1000, size=1000)
    keeper.add(events, len(events))

    entries = keeper.flush()
    log.append(entries)

    assert len(entries) >= 3
    assert all(len(value or b"") < MAX_SEGMENT_BYTES * 1.1 for _, value in entries)
    assert Keeper.recovered(log, 2).facts == keeper.facts


def test_a_torn_flush_does_not_count_and_takes_nothing_away() -> None:
    keeper, log, events = Keeper(1), Log(), source(4 * MAX_SEGMENT_BYTES // 1000, size=1000)
    keeper.add(events, 10)
    log.append(keeper.flush())
    keeper.add(events, len(events))
    log.append(keeper.flush()[:-1])
    log.compact()

    after = Keeper.recovered(log, 2)

    assert after.offset == 10
    assert after.facts == {event_id: raw for event_id, raw in keeper.facts.items() if int(event_id[1:]) < 10}


def test_what_a_torn_flush_left_is_withdrawn_once_its_offsets_are_written_again() -> None:
    keeper, log, events = Keeper(1), Log(), source(4 * MAX_SEGMENT_BYTES // 1000, size=1000)
    keeper.add(events, len(events))
    torn = keeper.flush()[:-1]
    log.append(torn)

    after = Keeper.recovered(log, 2)
    after.add(events, len(events))
    log.append(after.flush())
    log.append(after.flush())

    assert all(log.records[key] is None for key, _ in torn)
    assert Keeper.recovered(log, 3).facts == keeper.facts


def test_quality_and_time_are_those_of_the_furthest_flush() -> None:
    keeper, log, events = Keeper(1), Log(), source(20)
    for count in (3, 4, 5):
        keeper.add(events, count)
        log.append(keeper.flush())

    position = Keeper.recovered(log, 2).journal.position

    assert (position.next_offsets, position.advanced_us, position.quality) == ({TOPIC: 12}, 12, {0: {"read": 12}})


def test_offsets_that_bring_no_new_event_are_written_too() -> None:
    keeper, log = Keeper(1), Log()
    keeper.add([b"e1 x"] * 5, 5)

    log.append(keeper.flush())
    keeper.offset = 9
    log.append(keeper.flush())

    assert Keeper.recovered(log, 2).offset == 9


def test_a_compacted_segment_is_withdrawn_only_after_its_live_events_were_written_elsewhere() -> None:
    keeper, log, events = Keeper(1), Log(), source(2 * MAX_SEGMENT_BYTES // 1000, size=1000)
    keeper.add(events, len(events))
    log.append(keeper.flush())
    first = next(iter(log.records))
    ids = decode_segment(log.records[first] or b"").events
    for raw in ids[5:]:
        del keeper.facts[raw.split(b" ")[0].decode()]

    writing = keeper.flush()
    assert (first, None) not in writing
    log.append(writing)
    for _ in range(3):
        withdrawing = keeper.flush()
        log.append(withdrawing)
        assert withdrawing[-1][1] is not None

    assert log.records[first] is None
    log.compact()
    assert keeper.facts.items() <= Keeper.recovered(log, 2).facts.items()


def without_some(segments: int) -> tuple[Keeper, Log, list[str]]:
    """Events of which some are dropped: of the first segment, of the tail, and one that is not written yet."""
    keeper, log, events = Keeper(1), Log(), source(segments * MAX_SEGMENT_BYTES // 1000, size=1000)
    keeper.add(events, len(events) - 1)
    log.append(keeper.flush())
    keeper.add(events, 1)
    gone = ["e3", f"e{len(events) - 2}", f"e{len(events) - 1}"]
    for event_id in gone:
        del keeper.facts[event_id]
    return keeper, log, gone


def test_a_forgotten_event_does_not_come_back_and_its_neighbours_do() -> None:
    keeper, log, gone = without_some(2)
    keeper.journal.forget(gone)
    log.append(keeper.flush())
    for _ in range(20):
        if keeper.journal.is_written:
            break
        log.append(keeper.flush())

    assert keeper.journal.is_written
    log.compact()
    assert Keeper.recovered(log, 2).facts == keeper.facts


@pytest.mark.parametrize("segments", [1, 3])
def test_what_is_past_retention_does_not_come_back_though_most_of_its_segment_lives(segments: int) -> None:
    """In whole segments, in the tail, and in what is not written yet."""
    keeper, log, gone = without_some(segments)
    keeper.journal.expire(gone)
    for _ in range(20):
        log.append(keeper.flush())

    assert keeper.journal.is_written
    before = Keeper.recovered(log, 2)
    assert before.facts.keys() - before.journal.drain_left_over() == keeper.facts.keys()
    log.compact()
    assert Keeper.recovered(log, 3).facts == keeper.facts


def test_a_forgotten_event_that_comes_again_is_kept() -> None:
    keeper, log, events = Keeper(1), Log(), source(5)
    keeper.add(events, 5)
    log.append(keeper.flush())
    del keeper.facts["e2"]
    keeper.journal.forget(["e2"])
    log.append(keeper.flush())
    mended = b"e2 mended"
    keeper.journal.pending.append(mended)
    keeper.journal.pending_ids.append(keeper.replay(mended))
    log.append(keeper.flush())

    assert Keeper.recovered(log, 2).facts == keeper.facts


def test_segments_left_by_restarts_are_merged() -> None:
    log, events = Log(), source(60)
    for writer in range(20):
        keeper = Keeper.recovered(log, writer)
        keeper.add(events, 3)
        log.append(keeper.flush())
    for _ in range(30):
        log.append(keeper.flush())
    log.compact()

    assert len(log.records) <= 2
    assert len(Keeper.recovered(log, 99).facts) == 60


def test_a_predecessor_that_does_not_know_cannot_take_anything_away() -> None:
    log, events = Log(), source(50)
    old = Keeper(1)
    old.add(events, 10)
    log.append(old.flush())
    new = Keeper.recovered(log, 2)
    new.add(events, 30)
    log.append(new.flush())

    old.add(events, 5)
    log.append(old.flush())
    log.compact()

    third = Keeper.recovered(log, 3)
    assert third.offset == 40
    assert third.facts == new.facts


EVENTS = source(20_000, size=700)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.integers(1, 900)),
        st.tuples(st.just("flush"), st.just(0)),
        st.tuples(st.just("crash"), st.integers(0, 3)),
        st.tuples(st.just("move"), st.just(0)),
        st.tuples(st.just("rival"), st.integers(0, 900)),
        st.tuples(st.just("expire"), st.integers(1, 400)),
        st.tuples(st.just("compact"), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_any_history_of_flushes_crashes_and_rivals_recovers_everything_acknowledged(
    steps: list[tuple[str, int]],
) -> None:
    """A crash tears a flush; a move leaves a rival behind that goes on as if nothing had happened."""
    log, keeper, rival = Log(), Keeper(0), Keeper(2**63)
    acknowledged, expired = 0, 0
    for number, (step, amount) in enumerate(steps, 1):
        match step:
            case "take":
                keeper.add(EVENTS, amount)
            case "flush":
                log.append(keeper.flush())
                acknowledged = keeper.offset
            case "crash":
                log.append(keeper.flush()[:amount])
                keeper = Keeper.recovered(log, number)
            case "move":
                keeper, rival = Keeper.recovered(log, number), keeper
            case "rival":
                rival.add(EVENTS, amount)
                log.append(rival.flush())
            case "expire":
                expired = min(expired + amount, acknowledged)
                for event_id in [f"e{n}" for n in range(expired)]:
                    keeper.facts.pop(event_id, None)
            case _:
                log.compact()

    recovered = Keeper.recovered(log, 10_000)

    assert recovered.offset >= acknowledged
    kept = {f"e{n}" for n in range(expired, recovered.offset)}
    assert kept <= recovered.facts.keys()
    assert recovered.facts.keys() <= {f"e{n}" for n in range(recovered.offset)}
