"""Checkpoints: alerts and dead letters first, then the journal, and only then may the source offset be committed."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from processors.agents.checkpoints import Checkpoints, OutputTopics
from processors.agents.dead_letter_messages import DeadLetterFactory
from processors.agents.kafka_writer import KafkaWriter
from processors.core.ledger.retention import Retention
from processors.core.time.instants import DAY_US, instant_us
from schemas.alerts import Takeover, Transition, takeover_of
from schemas.events import Event
from tests.agents.workbench import CLOCK_US, TOPIC, IntakeHarness, Sent, new_partitions
from tests.story import DAY, HOUR, activity, answered, at, created, opened, reopened, revenue, won

TOPICS = OutputTopics("journal", DeadLetterFactory("crm.dead-letters", "salespulse"), "alerts")


class Counter:
    """A harness with checkpoints."""

    def __init__(self, retention: Retention | None = None) -> None:
        self.harness = IntakeHarness()
        self.harness.partition.ledger.retention = retention
        self.sent = Sent()
        self.checkpoints = Checkpoints(
            self.harness.partitions,
            as_writer(self.sent),
            TOPICS,
            self.harness.metrics,
            self.harness.crash,
            self.harness.ownership,
        )

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        async def finish() -> None:
            await work()
            await asyncio.gather(*self.harness.partition.outbox.in_flight)

        asyncio.run(finish())

    def flush(self, minute: float = 0) -> None:
        self.run(lambda: self.checkpoints.flush(self.harness.partition, instant_us(at(minute))))


def as_writer(sent: Sent) -> KafkaWriter:
    """The stand-in in the place of the producer."""
    writer: KafkaWriter = sent  # type: ignore[assignment]
    return writer


def test_a_flush_makes_the_partition_durable_up_to_where_it_is() -> None:
    counter = Counter()
    counter.harness.apply(activity(1), activity(2))

    counter.flush()

    assert counter.harness.partition.durable_offsets == {TOPIC: 2}
    assert counter.harness.partition.changelog_offset == 0
    assert len(counter.sent.on("journal")) == 1


def test_nothing_is_written_when_there_is_nothing_new() -> None:
    counter = Counter()
    counter.harness.apply(activity(1))

    for _ in range(3):
        counter.flush()

    assert len(counter.sent.on("journal")) == 1


def test_dead_letters_are_acknowledged_before_the_journal_is_written() -> None:
    counter = Counter()
    counter.harness.apply(b"bad", activity(1))

    counter.flush()

    assert [topic for topic, _ in counter.sent.log] == ["crm.dead-letters", "journal"]


def test_alert_transitions_go_out_as_json_under_their_alert_id() -> None:
    counter = Counter()
    counter.harness.apply(opened(0))
    ledger = counter.harness.partition.ledger
    ledger.set_clock(instant_us(at(61)))
    ledger.advance(instant_us(at(61)))

    counter.flush(61)

    alerts = counter.sent.on("alerts")
    transitions = [msgspec.json.decode(alert.value, type=Transition) for alert in alerts]
    assert ("1h", "fired") in [(transition.level, transition.state) for transition in transitions]
    assert [alert.key.decode() for alert in alerts] == [transition.alert_id for transition in transitions]
    assert counter.sent.log[-1][0] == "journal"
    assert counter.harness.value("salespulse_alert_transitions_total", level="1h", state="fired") == 1


def test_what_was_sent_is_noted_in_the_changelog_although_no_event_came() -> None:
    counter = Counter()
    counter.harness.apply(opened(0))
    counter.flush()
    ledger = counter.harness.partition.ledger
    ledger.set_clock(instant_us(at(61)))
    ledger.advance(instant_us(at(61)))

    counter.flush(61)

    assert len(counter.sent.on("journal")) == 2


def test_a_failed_journal_stops_the_worker_and_commits_nothing() -> None:
    counter = Counter()
    counter.harness.apply(activity(1))
    counter.sent.fails = KafkaTimeoutError

    with pytest.raises(KafkaTimeoutError):
        counter.flush()

    assert counter.harness.partition.durable_offsets == {}
    assert [type(reason) for reason in counter.harness.crashed] == [KafkaTimeoutError]


def test_a_refused_dead_letter_stops_the_worker_and_commits_nothing() -> None:
    counter = Counter()
    counter.harness.apply(b"bad")
    counter.sent.fails = MessageSizeTooLargeError

    with pytest.raises(MessageSizeTooLargeError):
        counter.flush()

    assert counter.harness.partition.durable_offsets == {}
    assert counter.sent.on("journal") == []


def test_what_is_not_acknowledged_in_time_is_sent_again_before_anything_is_durable() -> None:
    counter = Counter()
    counter.harness.apply(b"bad")
    failures = iter([KafkaTimeoutError(), KafkaTimeoutError()])
    counter.sent.fails = lambda: next(failures, None)

    counter.flush()

    assert [topic for topic, _ in counter.sent.log] == ["crm.dead-letters", "journal"]
    assert counter.harness.crashed == []


def test_without_a_lease_nothing_is_sent_written_or_committed_and_it_goes_out_once_when_it_holds_again() -> None:
    counter = Counter()
    counter.harness.apply(b"bad", opened(1))
    counter.harness.lease.silent = True

    counter.flush()
    assert counter.sent.log == []
    assert counter.harness.partition.durable_offsets == {}

    counter.harness.lease.silent = False
    counter.flush()
    assert [topic for topic, _ in counter.sent.log] == ["crm.dead-letters", "journal"]
    assert counter.harness.partition.durable_offsets == {TOPIC: 2}


def test_what_waits_when_a_partition_leaves_is_dropped() -> None:
    counter = Counter()
    counter.harness.apply(b"bad")

    async def lose() -> None:
        counter.sent.fails = KafkaTimeoutError
        flush_lock = asyncio.create_task(counter.checkpoints.flush(counter.harness.partition, 0))
        while not counter.sent.attempts:
            await asyncio.sleep(0)
        counter.harness.lease.silent = True
        counter.harness.partitions.assign([], generation=9)
        await flush_lock
        await asyncio.gather(*counter.harness.partition.outbox.before_cut)

    counter.run(lose)

    assert counter.sent.log == []
    assert counter.harness.crashed == []


def test_a_new_owner_claims_in_the_changelog_and_in_every_partition_of_the_alerts_before_it_sends() -> None:
    counter = Counter()
    partition = counter.harness.partition
    partition.epoch = None
    counter.sent.offset = 40
    counter.harness.apply(b"bad")

    counter.flush()

    assert partition.epoch == 41
    assert [topic for topic, _ in counter.sent.log] == ["journal", "alerts", "crm.dead-letters", "journal"]
    (takeover,) = counter.sent.on("alerts")
    assert takeover_of(takeover.key, takeover.headers) == Takeover(0, 41, "ids")


def test_a_claim_that_is_acknowledged_after_the_lease_makes_no_owner() -> None:
    counter = Counter()
    partition = counter.harness.partition
    partition.epoch = None

    def lapse() -> None:
        counter.harness.lease.silent = len(counter.sent.log) == 1

    counter.sent.fails = lapse
    counter.flush()

    assert partition.epoch is None
    assert partition.durable_offsets == {}


def test_transitions_name_their_partition_and_owner() -> None:
    counter = Counter()
    counter.harness.partition.epoch = 7
    counter.harness.apply(opened(1))
    counter.harness.partition.ledger.advance(instant_us(at(2 * HOUR)))

    counter.flush()

    transitions = [msgspec.json.decode(message.value, type=Transition) for message in counter.sent.on("alerts")]
    assert {(transition.partition, transition.epoch) for transition in transitions} == {(0, 7)}


def test_what_comes_while_a_flush_is_under_way_belongs_to_the_next_one() -> None:
    counter = Counter()
    harness = counter.harness
    harness.apply(activity(1))

    async def overlap() -> None:
        flush_lock = asyncio.create_task(counter.checkpoints.flush(harness.partition, 0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        harness.partition.next_offsets[TOPIC] = 5
        await flush_lock

    counter.run(overlap)

    assert harness.partition.durable_offsets == {TOPIC: 1}
    counter.flush()
    assert harness.partition.durable_offsets == {TOPIC: 5}


def test_two_flushes_of_a_partition_take_turns() -> None:
    counter = Counter()
    counter.harness.apply(activity(1))

    async def twice() -> None:
        both = (counter.checkpoints.flush(counter.harness.partition, 0) for _ in range(2))
        await asyncio.gather(*both)

    counter.run(twice)

    assert len(counter.sent.on("journal")) == 1


def test_a_partition_that_has_left_is_not_flushed() -> None:
    counter = Counter()
    counter.harness.apply(activity(1))
    counter.harness.partitions.assign([], generation=9)

    counter.flush()

    assert counter.sent.log == []


def test_an_orphan_gets_one_letter_whatever_restarts_follow() -> None:
    log: dict[bytes, bytes | None] = {}
    letters = 0
    for number in range(3):
        counter = Counter(Retention())
        partition = counter.harness.partition
        partition.recovered = False
        for offset, (key, value) in enumerate(log.items()):
            partition.restore(key, value, offset)
        partition.begin(CLOCK_US)
        if not number:
            counter.harness.apply(answered(-8 * DAY, "alice", "never opened"), opened(0))
        partition.ledger.advance(CLOCK_US)
        for _ in range(5):
            counter.flush(2 * HOUR)
        log |= dict(counter.sent.on("journal"))
        log = {key: value for key, value in log.items() if value is not None}
        letters += len(counter.sent.on("crm.dead-letters"))
        assert partition.is_durable()
        assert [event.customer_id for event in partition.ledger.facts.values()] == ["c1"]
        assert partition.ledger.quality == {instant_us(at(-8 * DAY)) // DAY_US: {"orphan": 1}}
        assert partition.ledger.drain_expired() == []
    assert letters == 1


def test_what_retention_dropped_does_not_come_back_with_what_comes_later_of_its_roots() -> None:
    """Of a request, an opportunity and a customer who are heard of again after more than a year, before a restart."""
    counter = Counter(Retention())
    old: list[Event] = [opened(0), answered(10), revenue(5, "100"), created(1), won(20)]
    counter.harness.apply(*old, *(opened(30, f"waits{n}", customer=f"c{n}") for n in range(2, 50)))
    counter.flush(40)
    pass_days(counter, 402)
    counter.harness.apply(opened(402 * DAY), revenue(402 * DAY, "7"), reopened(402 * DAY + 1))
    for _ in range(5):
        counter.flush(402 * DAY + 2)
    kept = counter.harness.partition.ledger

    partitions = new_partitions()
    partitions.assign([0], generation=7)
    (after,) = partitions
    for offset, (key, value) in enumerate(counter.sent.on("journal")):
        after.restore(key, value, offset)
    after.begin(instant_us(at(402 * DAY + 2)))

    assert after.ledger.facts.keys() == kept.facts.keys()
    assert after.ledger.view().segments()["unknown"].revenue_cents == 700


def pass_days(counter: Counter, days: int) -> None:
    """Time passes at once, and all facts are looked at."""
    ledger = counter.harness.partition.ledger
    counter.harness.clock_us = instant_us(at(days * DAY))
    ledger.set_clock(counter.harness.clock_us)
    ledger.advance(counter.harness.clock_us)
    assert ledger.retention is not None
    while ledger.retention.is_sweeping:
        ledger.advance(counter.harness.clock_us)
