"""S27: the report is a function of the set of facts, and the oracle's. `SALESPULSE_LONG=1`: 20,000 streams."""

import os
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from processors.core.reports.replay import replay
from schemas.codec import decode_message, encode
from schemas.events import Message, RepUpdated
from tests.oracle.agreement import assert_agreed
from tests.strategies import LONGEST, POLICY, Stream, streams

LONG = os.environ.get("SALESPULSE_LONG") == "1"
EXAMPLES = 20_000 if LONG else 400
COMPARED = 20_000 if LONG else 700
LONGER = 1_000 if LONG else 100
BATCH = 500
"""Streams for which the oracle is asked at once: a query costs it about as much for one as for hundreds."""


def shuffled(stream: Stream, random: Random) -> list[Message]:
    """Some messages twice, in any order, save that the entries of the reps keep theirs: the last of a rep counts."""
    reps = [message for message in stream.messages if isinstance(message, RepUpdated)]
    events = [encode(message) for message in stream.messages if not isinstance(message, RepUpdated)]
    arriving = [*events, *random.choices(events, k=random.randrange(len(events)) + 1)]
    random.shuffle(arriving)
    mixed = [decode_message(event) for event in arriving]
    places = sorted(random.randrange(len(mixed) + 1) for _ in reps)
    for place, rep in reversed(list(zip(places, reps, strict=True))):
        mixed.insert(place, rep)
    return mixed


def report_bytes(messages: list[Message], as_of_us: int | None, partitions: int = 1) -> bytes:
    """The report as JSON, without the counts of messages read."""
    report = replay(messages, POLICY, as_of_us, partitions)
    del report["events"]
    return msgspec.json.encode(report)


@pytest.mark.timeout(5400 if LONG else 600)
@settings(max_examples=EXAMPLES, deadline=None)
@given(streams(), st.integers(0, 2**32), st.integers(1, 5))
def test_s27_any_order_duplication_and_split_gives_the_same_report_byte_for_byte(
    stream: Stream, seed: int, partitions: int
) -> None:
    note("\n".join(stream.lines))
    straight = report_bytes(list(stream.messages), stream.as_of_us)
    messages = shuffled(stream, Random(seed))
    assert report_bytes(messages, stream.as_of_us) == straight
    assert report_bytes(messages, stream.as_of_us, partitions) == straight


def generated(count: int, longest: int = LONGEST) -> list[Stream]:
    """About so many streams, for a comparison that is cheap only in batches."""
    found: list[Stream] = []

    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=[*HealthCheck]
    )
    @given(streams(longest=longest))
    def keep(stream: Stream) -> None:
        found.append(stream)

    keep()
    return found


@pytest.mark.timeout(5400 if LONG else 600)
def test_the_core_agrees_with_the_oracle_on_every_number() -> None:
    examples = generated(COMPARED)
    assert len(examples) >= COMPARED
    for start in range(0, len(examples), BATCH):
        assert_agreed(examples[start : start + BATCH])


@pytest.mark.timeout(5400 if LONG else 600)
def test_longer_streams_in_any_order_agree_with_the_oracle() -> None:
    examples = generated(LONGER, longest=40)
    assert len(examples) >= LONGER
    mixed = [Stream(tuple(shuffled(stream, Random(number))), stream.as_of_us) for number, stream in enumerate(examples)]
    for start in range(0, len(mixed), BATCH):
        assert_agreed(mixed[start : start + BATCH])


@settings(max_examples=2_000 if LONG else 200, deadline=None)
@given(streams())
def test_s07_the_customers_wait_is_the_sum_of_its_holds(stream: Stream) -> None:
    company = replay(stream.messages, POLICY, stream.as_of_us)["company"]["all"]
    assert company["hold_seconds_sum"] == company["response_seconds_sum"]
