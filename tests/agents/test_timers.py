"""The timers: time is the clock's for a partition that has read everything, and the stream's for one that lags."""

import math
from collections.abc import Mapping
from typing import Any

from faust.types import TP

from processors.agents.broker_liveness import MAX_SILENCE_SECONDS, PartitionEnd
from processors.agents.directory_dead_letters import DirectoryDeadLetters, RefusedEntry
from processors.agents.timers import MIN_REPS_PER_BEAT, Timers
from processors.core.time.instants import instant_us
from schemas.errors import BadRecord, Reason
from schemas.events import Event, RepUpdated
from tests.agents.test_checkpoints import TOPICS, Counter
from tests.agents.workbench import DIRECTORY, SOURCE, TOPIC
from tests.story import HOUR, activity, answered, at, opened, rep, retracted

OWNED = 2 * HOUR
"""The minute at which the partition was assigned."""


class Announcements:
    """Stands for the directory's table."""

    def __init__(self) -> None:
        self.dead_letters: DirectoryDeadLetters
        self.changed: set[str] = set()
        self.offsets: dict[str, int] = {}

    def put(self, entry: RepUpdated, offset: int) -> None:
        if DIRECTORY.put(entry):
            self.changed.add(entry.rep_id)
        self.offsets[entry.rep_id] = offset

    def drain_changed(self) -> set[str]:
        changed, self.changed = self.changed, set()
        return changed


class Posted:
    """Stands for the publisher."""

    def __init__(self) -> None:
        self.reps: dict[str, int] = {}

    def add_changed_reps(self, offsets: dict[str, int]) -> None:
        self.reps |= offsets


class Clockwork:
    """Timers over one partition."""

    def __init__(self) -> None:
        self.counter = Counter()
        self.harness = self.counter.harness
        self.reps, self.posted = Announcements(), Posted()
        self.reps.dead_letters = DirectoryDeadLetters(
            self.harness.partitions, "crm.reps", TOPICS.dead_letters, self.harness.metrics
        )
        reps: Any = self.reps
        publisher: Any = self.posted
        self.timers = Timers(
            self.harness.partitions,
            self.counter.checkpoints,
            publisher,
            reps,
            self.harness.metrics,
            self.harness.lease,
        )

    def beat(self, minute: float, end: int | None, age_seconds: float = 0.1) -> None:
        """`end`: the last end that the broker reported, if it did, `age_seconds` ago."""
        ends = {} if end is None else {SOURCE: PartitionEnd(end, age_seconds)}
        self.counter.run(self._beat(instant_us(at(minute)), ends))
        # Each beat has an event loop of its own.
        self.harness.partition.outbox.in_flight.clear()

    def _beat(self, clock_us: int, ends: Mapping[TP, PartitionEnd]) -> Any:
        async def beat() -> None:
            self.timers.pass_time(clock_us, ends)

        return beat

    def apply(self, minute: float, *events: Event) -> None:
        self.harness.clock_us = instant_us(at(minute))
        self.harness.apply(*events)

    def flush(self, minute: float) -> None:
        self.counter.flush(minute)


def levels(clockwork: Clockwork) -> list[str]:
    """The levels that were sent, in order."""
    return [message.key.decode().rsplit("/", 1)[1] for message in clockwork.counter.sent.on("alerts")]


def test_a_partition_that_has_read_everything_lives_by_the_clock() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(0))

    clockwork.beat(61, end=1)

    assert "1h" in levels(clockwork)
    assert clockwork.harness.partition.caught_up


def test_while_records_wait_a_partition_lives_by_its_stream() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(0))

    clockwork.beat(61, end=2)

    assert levels(clockwork) == []
    assert clockwork.harness.value("salespulse_consumer_lag_records", topic=TOPIC, partition="0") == 1
    assert clockwork.harness.value("salespulse_consumer_lag_seconds") == 61 * 60
    clockwork.harness.apply(answered(30))
    clockwork.beat(61.1, end=2)
    assert levels(clockwork) == []
    assert clockwork.harness.value("salespulse_consumer_lag_seconds") == 0


def test_without_an_answer_of_the_broker_nothing_is_certain() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(0))

    clockwork.beat(61, end=None)

    assert not clockwork.harness.partition.caught_up
    assert levels(clockwork) == []
    assert math.isnan(clockwork.harness.value("salespulse_consumer_lag_seconds"))


def test_while_the_broker_is_silent_no_lag_is_claimed_and_nothing_fires() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(0))
    clockwork.beat(30, end=1)
    assert clockwork.harness.value("salespulse_consumer_lag_seconds") == 0

    clockwork.beat(61, end=1, age_seconds=MAX_SILENCE_SECONDS + 1)
    assert math.isnan(clockwork.harness.value("salespulse_consumer_lag_seconds"))
    lag = clockwork.harness.registry.get_sample_value(
        "salespulse_consumer_lag_records", {"topic": TOPIC, "partition": "0"}
    )
    assert lag is None
    assert "1h" not in levels(clockwork)

    clockwork.beat(61.1, end=1)
    assert clockwork.harness.value("salespulse_consumer_lag_seconds") == 0
    assert "1h" in levels(clockwork)


def test_a_lag_that_is_known_counts_though_the_broker_is_silent() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(0))

    clockwork.beat(61, end=3, age_seconds=MAX_SILENCE_SECONDS + 1)

    assert clockwork.harness.value("salespulse_consumer_lag_records", topic=TOPIC, partition="0") == 2
    assert clockwork.harness.value("salespulse_consumer_lag_seconds") == 61 * 60


def test_how_far_a_partition_is_applied_is_shown_under_its_name_in_the_read_model() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(0), b"bad")

    clockwork.beat(1, end=2)

    assert clockwork.harness.value("salespulse_position_records", partition=clockwork.harness.partition.label) == 2


def alert_lags(clockwork: Clockwork) -> tuple[float, float]:
    """How many alerts were measured, and by how many seconds they were late in all."""
    value = clockwork.harness.value
    return value("salespulse_alert_lag_seconds_count"), round(value("salespulse_alert_lag_seconds_sum"), 3)


def test_an_alert_is_as_late_as_the_timer_that_finds_it() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(OWNED))
    clockwork.beat(OWNED + 47, end=1)

    clockwork.beat(OWNED + 48 + 2 / 60, end=1)
    assert alert_lags(clockwork) == (1, 2)
    clockwork.beat(OWNED + 60 + 3 / 60, end=1)
    assert alert_lags(clockwork) == (2, 5)


def test_an_alert_that_fell_due_before_the_assignment_is_not_late() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(OWNED - 61))

    clockwork.beat(OWNED + 1, end=1)

    assert "1h" in levels(clockwork)
    assert alert_lags(clockwork) == (0, 0)


def test_an_alert_whose_event_came_after_its_instant_is_not_late() -> None:
    clockwork = Clockwork()
    clockwork.beat(OWNED + 30, end=0)
    clockwork.harness.apply(opened(OWNED - 40))
    clockwork.flush(OWNED + 30.01)

    clockwork.beat(OWNED + 30.02, end=1)

    assert "1h" in levels(clockwork)
    assert alert_lags(clockwork) == (0, 0)


def test_an_alert_that_a_correction_brings_back_is_not_late() -> None:
    clockwork = Clockwork()
    answer = answered(OWNED + 10)
    clockwork.apply(OWNED + 10, opened(OWNED), answer)
    clockwork.beat(OWNED + 90, end=2)
    assert levels(clockwork) == []
    clockwork.apply(OWNED + 90, retracted(OWNED + 90, answer))

    clockwork.beat(OWNED + 90.01, end=3)

    assert "1h" in levels(clockwork)
    assert alert_lags(clockwork) == (0, 0)


def test_an_alert_that_fell_due_while_the_broker_was_silent_is_not_late() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(OWNED))
    clockwork.beat(OWNED + 47, end=1)
    clockwork.beat(OWNED + 61, end=1, age_seconds=MAX_SILENCE_SECONDS + 1)

    clockwork.beat(OWNED + 62, end=1)

    assert "1h" in levels(clockwork)
    assert alert_lags(clockwork) == (0, 0)


def test_an_alert_that_falls_due_while_records_wait_is_late() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(OWNED))
    clockwork.beat(OWNED + 59, end=1)

    clockwork.beat(OWNED + 61, end=2)
    assert alert_lags(clockwork)[0] == 1
    clockwork.apply(OWNED + 62, activity(OWNED + 62))
    clockwork.beat(OWNED + 62.1, end=2)
    assert "1h" in levels(clockwork)
    assert alert_lags(clockwork)[0] == 2


def test_directory_changes_reach_ledgers_and_read_model() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(activity(1, "tom", recontactable=True))
    clockwork.reps.put(rep("tom", "east"), 7)

    clockwork.beat(HOUR, end=1)

    assert clockwork.posted.reps == {"tom": 7}
    fields = clockwork.harness.partition.ledger.everything().puts["partials"]
    assert any(field.startswith("team|east|") for field in fields)


def test_a_refused_entry_of_the_directory_is_sent_to_the_dead_letters() -> None:
    clockwork = Clockwork()
    bad = BadRecord(Reason.MALFORMED, "truncated")
    clockwork.reps.dead_letters.add(RefusedEntry(0, 7, b"tom", b"{", 0, bad))

    clockwork.beat(HOUR, end=0)

    assert [message.value for message in clockwork.counter.sent.on(TOPICS.dead_letters.topic)] == [b"{"]


def test_of_many_reps_only_some_move_at_a_time() -> None:
    clockwork = Clockwork()
    names = [f"rep-{number:02d}" for number in range(2 * MIN_REPS_PER_BEAT + 1)]
    for name in names:
        clockwork.harness.apply(activity(1, name))
        clockwork.reps.put(rep(name, "west"), 7)
    moved = []
    for beat in range(3):
        clockwork.beat(HOUR + beat, end=len(names))
        waiting = clockwork.harness.partition.ledger.moved_reps(names)
        moved.append([name for name in names if name not in waiting])
    assert moved == [names[:MIN_REPS_PER_BEAT], names[: 2 * MIN_REPS_PER_BEAT], names]
    assert clockwork.timers.moving == set()


def test_without_a_lease_time_stands_still_and_a_partition_is_not_caught_up() -> None:
    clock = Clockwork()
    clock.harness.apply(opened(OWNED))
    clock.harness.lease.silent = True

    clock.beat(OWNED + 61, end=1)

    assert not clock.harness.partition.caught_up
    assert clock.counter.sent.on("alerts") == []
    clock.harness.lease.silent = False
    clock.beat(OWNED + 61, end=1)
    assert len(clock.counter.sent.on("alerts")) == 2


def test_sizes_are_counted_over_all_partitions() -> None:
    clockwork = Clockwork()
    clockwork.harness.apply(opened(0), activity(1))

    clockwork.timers.measure_sizes()

    assert clockwork.harness.value("salespulse_roots", kind="facts") == 2
    assert clockwork.harness.value("salespulse_roots", kind="open_requests") == 1
