"""The topics folded again are what a worker has, whatever the topics have lost and the worker has dropped by now."""

from collections.abc import Sequence

import msgspec
import pytest

from config.settings import ClockSettings, Settings
from processors.commands.dead_letters import as_json
from processors.commands.journal_facts import JournalFacts
from processors.commands.read_model_fields import FieldKey, equal
from processors.commands.refolded_topics import RefoldedTopics
from processors.core.ledger.retention import Retention
from processors.core.time.instants import DAY_US, instant_us
from processors.kafka.topic_reader import TopicRecord
from schemas.codec import encode
from schemas.events import Event
from schemas.views import Segment
from tests.agents.test_checkpoints import Counter
from tests.agents.workbench import CLOCK_US, TOPIC
from tests.story import DAY, answered, at, created, opened, reopened, revenue, segment, stage, won

TODAY = 20_500
AT_MS = TODAY * 86_400_000 + 7
ENTRY = TopicRecord("crm.reps", 1, 3, b"ann", b"{", {}, AT_MS)
HEADERS = {
    "reason": "malformed",
    "topic": "crm.reps",
    "partition": "1",
    "offset": "3",
    "timestamp_ms": str(AT_MS),
}
LETTER = TopicRecord("crm.dead-letters", 0, 9, b"ann", b"{", HEADERS, AT_MS + 86_400_000)


@pytest.mark.parametrize(
    "records",
    [(ENTRY,), (LETTER,), (ENTRY, LETTER), (LETTER, ENTRY, LETTER)],
    ids=["before its letter is written", "after compaction", "with both", "said again after a crash"],
)
def test_a_refused_entry_of_the_directory_counts_once_on_the_day_on_which_it_came(
    records: Sequence[TopicRecord],
) -> None:
    refold = RefoldedTopics(Settings())

    for record in records:
        if record is LETTER:
            refold.leave_out(record)
        else:
            refold.add(record)
    refold.finish_reading()

    quality = {place: value for place, value in refold.fields(CLOCK_US).items() if place[1] == "quality"}
    assert quality == {("crm.events/0", "quality", str(TODAY)): msgspec.msgpack.encode({"malformed": 1})}


@pytest.mark.parametrize(
    "headers",
    [
        {"reason": "malformed", "topic": "crm.reps"},
        HEADERS | {"partition": "abc"},
        HEADERS | {"timestamp_ms": "9" * 5000},
        HEADERS | {"topic": "crm.events", "offset": ""},
        {"reason": "orphan", "topic": "crm.events", "partition": "0", "next_offsets": "["},
        {"reason": "orphan", "topic": "crm.events", "partition": "0", "next_offsets": '{"crm.events": 1}'},
    ],
)
def test_a_letter_that_no_worker_wrote_says_nothing(headers: dict[str, str]) -> None:
    refold = RefoldedTopics(Settings())
    refold.leave_out(TopicRecord("crm.dead-letters", 0, 9, b"ann", b"{", headers, AT_MS))
    assert refold.foreign_letters == 1
    assert refold.fields(CLOCK_US) == {}
    assert msgspec.json.decode(as_json([TopicRecord("crm.dead-letters", 0, 9, None, None, headers, -1)]))


SETTINGS = Settings()
WINDOWS_DAYS = SETTINGS.retention.windows_days + SETTINGS.retention.slack_days
ROOTS_DAYS = SETTINGS.retention.roots_days
KEPT_DAYS = ROOTS_DAYS + SETTINGS.retention.slack_days
"""So long the events topic has its records."""


class System:
    """A worker's part that lives for years, and the topic that it reads."""

    def __init__(self) -> None:
        self.counter = Counter(Retention(WINDOWS_DAYS * DAY_US, ROOTS_DAYS * DAY_US))
        self.records: list[TopicRecord] = []

    def come(self, minute: float, *events: Event | bytes) -> None:
        """Events come, the worker flushes, and time passes: all facts are looked at."""
        harness, now_us = self.counter.harness, instant_us(at(minute))
        harness.clock_us = now_us
        harness.partition.ledger.set_clock(now_us)
        harness.apply(*events)
        for event in events:
            raw = event if isinstance(event, bytes) else encode(event)
            place = (TOPIC, 0, len(self.records), b"c1", raw)
            self.records.append(TopicRecord(*place, {}, now_us // 1000))
        harness.partition.ledger.advance(now_us)
        while harness.partition.ledger.retention is not None and harness.partition.ledger.retention.is_sweeping:
            harness.partition.ledger.advance(now_us)
        for _ in range(4):
            self.counter.flush(minute)

    def differences(self, minute: float) -> list[tuple[FieldKey, bytes | None, bytes | None]]:
        """Where the topic folded again, with what the journal says, is not what the worker has."""
        now_us = instant_us(at(minute))
        clock = ClockSettings(mode="fixed", at=at(minute))
        refold = RefoldedTopics(msgspec.structs.replace(SETTINGS, clock=clock))
        for record in self.records:
            if record.timestamp_ms * 1000 >= now_us - KEPT_DAYS * DAY_US:
                refold.add(record)
        refold.finish_reading()
        refold.keep(self._kept(refold.old()))
        folded = refold.fields(now_us)
        everything = self.counter.harness.partition.ledger.everything().puts
        live = {
            ("crm.events/0", str(s), field): value
            for s, fields in everything.items()
            for field, value in fields.items()
        }
        return [
            (place, folded.get(place), live.get(place))
            for place in sorted(folded.keys() | live.keys())
            if not refold.is_doubtful(place) and not equal(place[1], folded.get(place), live.get(place))
        ]

    def _kept(self, before_us: dict[int, int]) -> dict[int, JournalFacts]:
        kept = {number: JournalFacts(instant) for number, instant in before_us.items()}
        for part in kept.values():
            for key, value in self.counter.sent.on("journal"):
                part.add(key, value)
            part.finish()
        return kept


def test_a_customer_who_pays_for_years_is_worth_it_all_though_the_topic_has_lost_the_first_payments() -> None:
    system = System()
    for quarter in range(8):
        system.come(quarter * 90 * DAY + 10, revenue(quarter * 90 * DAY, "100"))
    assert system.differences(720 * DAY) == []


def test_an_opportunity_that_lives_longer_than_the_topics_records_is_whole() -> None:
    system = System()
    system.come(10, created(0), stage(5, "demo"), segment(6, "smb"), b"{")
    system.come(200 * DAY, stage(200 * DAY, "trial"), opened(200 * DAY, rep_id="alice"))
    system.come(400 * DAY, revenue(400 * DAY, "3"))
    assert system.differences(410 * DAY) == []


@pytest.mark.parametrize("later", [403 * DAY, 410 * DAY, 500 * DAY])
def test_what_comes_after_retention_begins_anew(later: int) -> None:
    """Of a request, an opportunity and a customer who had been dropped."""
    system = System()
    system.come(30, opened(0), answered(10), revenue(5, "100"), created(1), won(20, amount=5))
    system.come(401 * DAY)
    system.come(402 * DAY, opened(402 * DAY), revenue(402 * DAY, "7"), reopened(402 * DAY))
    system.come(later)
    assert system.differences(later) == []


def test_what_an_earlier_version_counted_counts() -> None:
    """An amount that is written otherwise than the contract allows today."""
    wide = encode(revenue(1, "1.25")).replace(b'"1.25"', b'"+1.25"')
    refold = RefoldedTopics(SETTINGS)
    refold.add(TopicRecord(TOPIC, 0, 0, b"c1", wide, {}, CLOCK_US // 1000))
    refold.finish_reading()
    segments = [value for place, value in refold.fields(CLOCK_US).items() if place[1] == "segments"]
    assert [msgspec.msgpack.decode(value, type=Segment).revenue_cents for value in segments] == [125]


def test_what_was_refused_at_first_and_counted_when_it_was_sent_again_counts() -> None:
    """Its dead letter is read when both records are folded already."""
    raw = encode(revenue(1, "2"))
    refold = RefoldedTopics(SETTINGS)
    for offset in (0, 1):
        refold.add(TopicRecord(TOPIC, 0, offset, b"c1", raw, {}, AT_MS))
    headers = {"reason": "clock_skew", "topic": TOPIC, "partition": "0", "offset": "0"}
    refold.leave_out(TopicRecord("crm.dead-letters", 0, 0, b"c1", raw, headers, AT_MS))
    refold.finish_reading()
    fields = refold.fields(CLOCK_US)
    assert [place[1] for place in fields] == ["segments", "quality"]
    assert fields["crm.events/0", "quality", str(TODAY)] == msgspec.msgpack.encode({"clock_skew": 1})


def test_counts_of_answers_that_retention_takes_within_these_days_are_doubtful() -> None:
    """A worker looks once a day: it may have dropped them already, or not."""
    system = System()
    system.come(DAY, answered(0, "alice", None), answered(10, "alice", None))
    assert system.differences(WINDOWS_DAYS * DAY + 1) == []
    assert system.differences((WINDOWS_DAYS + 2) * DAY - 5) == []
