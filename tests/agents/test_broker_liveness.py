"""Whether the broker answers: by what it last sent of each partition."""

import time
from types import SimpleNamespace

from faust.types import TP

from processors.agents.broker_liveness import MAX_SILENCE_SECONDS, BrokerLiveness, PartitionEnd, known_ends
from tests.agents.workbench import SOURCE, TOPIC, new_partitions, open_partition

REPS = TP("crm.reps", 0)
LONG = MAX_SILENCE_SECONDS + 1


class Ear:
    """A worker's hearing; its partition has read up to offset 5. Time passes by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        partitions = new_partitions()
        open_partition(partitions).next_offsets = {TOPIC: 5}
        self.liveness = BrokerLiveness(partitions, lambda: self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def hears(self, **ages: float) -> bool:
        """`read`, `waiting`: how old the last answer is by which the partition is read to its end, or is not."""
        ends = {"read": (SOURCE, 5), "waiting": (SOURCE, 6), "reps": (REPS, 1)}
        return self.liveness.is_answered(
            {tp: PartitionEnd(end, ages[name]) for name, (tp, end) in ends.items() if name in ages}
        )


def test_lag_is_what_waits_beyond_what_was_reached() -> None:
    assert PartitionEnd(7, 0.1).lag(5) == 2
    assert PartitionEnd(5, 0.1).lag(5) == 0
    assert PartitionEnd(4, 0.1).lag(5) == 0


def test_a_lag_of_nothing_is_unknown_once_the_broker_is_silent() -> None:
    assert PartitionEnd(5, LONG).lag(5) is None


def test_while_records_wait_the_broker_is_not_asked_and_its_newest_transition_counts() -> None:
    assert PartitionEnd(7, LONG).lag(5) == 2


def test_a_broker_that_answers_for_every_partition_is_up() -> None:
    assert Ear().hears(read=0.1, reps=0.1)


def test_a_partition_that_is_read_up_to_its_end_must_be_answered_for_though_others_are() -> None:
    assert not Ear().hears(read=LONG, reps=0.1)


def test_a_partition_whose_records_wait_may_be_silent_while_another_is_answered_for() -> None:
    assert Ear().hears(waiting=LONG, reps=0.1)


def test_a_broker_that_is_silent_altogether_is_down_even_if_records_wait() -> None:
    ear = Ear()
    ear.wait(LONG)

    assert not ear.hears(waiting=LONG, reps=LONG)
    assert ear.hears(waiting=LONG, reps=0.1)


def test_a_rebalance_is_no_silence_until_it_takes_too_long() -> None:
    ear = Ear()
    assert ear.hears(read=0.1)

    ear.wait(MAX_SILENCE_SECONDS - 1)
    assert ear.hears()
    ear.wait(2)
    assert not ear.hears()
    assert ear.hears(read=0.1)


def test_ends_are_those_of_the_assignment_and_there_are_none_before_the_first_answer() -> None:
    new = SimpleNamespace(lso=None, highwater=None, timestamp=None)
    heard = SimpleNamespace(lso=None, highwater=8, timestamp=1000 * (time.time() - 3))
    states = {SOURCE: heard, REPS: new}

    ends = known_ends(SimpleNamespace(tps=frozenset(states), state_value=states.get))

    assert ends.keys() == {SOURCE}
    assert ends[SOURCE].end == 8
    assert 3 <= ends[SOURCE].age_seconds < 60


def test_what_lies_behind_an_open_transaction_is_not_waited_for() -> None:
    state = SimpleNamespace(lso=5, highwater=8, timestamp=1000 * time.time())

    ends = known_ends(SimpleNamespace(tps=frozenset({SOURCE}), state_value=lambda _: state))

    assert ends[SOURCE].lag(5) == 0


def test_a_clock_that_is_set_back_makes_no_answer_that_would_be_fresh_for_long() -> None:
    state = SimpleNamespace(lso=None, highwater=8, timestamp=1000 * (time.time() + 3600))

    ends = known_ends(SimpleNamespace(tps=frozenset({SOURCE}), state_value=lambda _: state))

    assert ends == {SOURCE: PartitionEnd(8, 0.0)}
