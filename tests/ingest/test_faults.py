"""Disorder, duplicates and damage: what is added can be recognised, and nothing is lost."""

from collections import Counter
from itertools import islice

import pytest

from processors.core.time.instants import SECOND_US
from processors.ingest.faults import MAX_OVERTAKEN_BY, Faults, damaged, with_faults
from processors.ingest.simulator.dice import Dice
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.timed_messages import TimedMessage, from_events
from schemas.codec import decode_event
from schemas.errors import BadRecord, Reason, UsageError

START_US = 1_760_000_000 * SECOND_US


@pytest.fixture(scope="module")
def clean() -> list[TimedMessage]:
    return list(islice(from_events(Simulator(5, START_US).timed()), 5000))


def test_no_faults_change_nothing(clean: list[TimedMessage]) -> None:
    assert list(with_faults(clean, Faults(), 1)) == clean


def test_disorder_moves_messages_but_not_far_and_loses_none(clean: list[TimedMessage]) -> None:
    moved = list(with_faults(clean, Faults(disorder=0.2), 1))
    assert moved != clean
    assert Counter(moved) == Counter(clean)
    place = {message: number for number, message in enumerate(clean)}
    distances = [number - place[message] for number, message in enumerate(moved)]
    assert max(distances) <= MAX_OVERTAKEN_BY
    assert 0.1 < sum(distance > 0 for distance in distances) / len(clean) < 0.3


def test_duplicates_are_whole_and_as_many_as_asked_for(clean: list[TimedMessage]) -> None:
    counts = Counter(with_faults(clean, Faults(duplicates=0.1), 1))
    assert set(counts) == set(clean)
    assert set(counts.values()) == {1, 2}
    assert 400 < sum(counts.values()) - len(clean) < 600


def test_malformed_copies_come_on_top_and_no_decoder_takes_them(clean: list[TimedMessage]) -> None:
    originals = set(clean)
    spoilt = [message for message in with_faults(clean, Faults(malformed=0.1), 1) if message not in originals]
    assert 400 < len(spoilt) < 600
    reasons = set()
    for _, _, value in spoilt:
        with pytest.raises(BadRecord) as caught:
            decode_event(value)
        reasons.add(caught.value.reason)
    assert reasons == {Reason.MALFORMED, Reason.UNKNOWN_TYPE}


def test_every_kind_of_damage_is_damage(clean: list[TimedMessage]) -> None:
    dice = Dice("damage")
    for _, _, value in clean:
        with pytest.raises(BadRecord):
            decode_event(damaged(value, dice))


def test_the_same_seed_makes_the_same_faults(clean: list[TimedMessage]) -> None:
    faults = Faults(disorder=0.1, duplicates=0.1, malformed=0.1)
    assert list(with_faults(clean, faults, 4)) == list(with_faults(clean, faults, 4))
    assert list(with_faults(clean, faults, 4)) != list(with_faults(clean, faults, 5))


def test_a_share_beyond_everything_is_refused(clean: list[TimedMessage]) -> None:
    with pytest.raises(UsageError, match=r"duplicates 1.5: a share from 0 to 1"):
        with_faults(clean, Faults(duplicates=1.5), 1)
