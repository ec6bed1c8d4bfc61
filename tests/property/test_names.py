"""S27 for names that anybody may make up: which of them have a count of their own follows from the set of facts."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.core.folds.activity_kinds import KindCounts, within_bounds
from processors.core.folds.lifetime_value_fold import sum_of_segments
from processors.core.ledger.ledger import Ledger
from processors.core.reports.replay import replay
from processors.core.reports.window_sums import add
from processors.core.state.directory import directory_of
from processors.core.state.first_names import MAX_FREE_KINDS, MAX_SEGMENTS, OTHER, FirstNames
from schemas import events as ev
from schemas.policy import KINDS
from schemas.views import Partial, Segment
from tests.oracle.agreement import assert_agreed
from tests.property.test_any_order import report_bytes, shuffled
from tests.strategies import ANCHORS, POLICY, Stream

NAMES = [*KINDS, OTHER, *(f"kind {number:02}" for number in range(3 * MAX_FREE_KINDS))]
ANY = st.sampled_from(NAMES)


def activities(random: Random, count: int) -> list[ev.Event]:
    """Of two reps, over four days, of far more kinds than have room."""
    return [
        ev.ActivityLogged(
            event_id=f"a{number}",
            occurred_at=ANCHORS[0] + timedelta(days=random.randrange(4)),
            customer_id=f"c{random.randrange(40)}",
            rep_id=random.choice(("r1", "r2")),
            kind=random.choice(NAMES),
        )
        for number in range(count)
    ]


def money(random: Random, customers: int) -> list[ev.Event]:
    """Customers with revenue, each in one segment after another."""
    events: list[ev.Event] = []
    for number in range(customers):
        at, who = ANCHORS[0] + timedelta(hours=number), f"c{number}"
        amount = Decimal(random.randrange(1000))
        events.append(ev.CustomerRevenue(event_id=f"m{number}", occurred_at=at, customer_id=who, amount=amount))
        for turn in range(random.randrange(3)):
            name = random.choice([OTHER, "unknown", *(f"s{random.randrange(customers):04}" for _ in range(8))])
            later = at + timedelta(minutes=turn)
            events.append(
                ev.CustomerUpdated(event_id=f"s{number}.{turn}", occurred_at=later, customer_id=who, segment=name)
            )
    return events


def corrected(random: Random, events: list[ev.Event]) -> Stream:
    """Some of the events are retracted."""
    wrong = random.sample(events, len(events) // 4)
    retractions = [
        ev.EventRetracted(
            event_id=f"r{number}",
            occurred_at=event.occurred_at,
            customer_id=event.customer_id,
            retracts=event.event_id,
            entity="customer",
            entity_id="any",
        )
        for number, event in enumerate(wrong)
    ]
    mixed = [*events, *retractions]
    random.shuffle(mixed)
    return Stream(tuple(mixed), None)


def crowded(seed: int) -> Stream:
    random = Random(seed)
    return corrected(random, activities(random, 400) + money(random, 3 * MAX_SEGMENTS))


@pytest.mark.parametrize("seed", range(6))
def test_what_has_room_depends_on_no_order_duplicate_or_split(seed: int) -> None:
    stream = crowded(seed)
    straight = report_bytes(list(stream.messages), None)
    report = msgspec.json.decode(straight)
    assert OTHER in report["segments"]
    assert OTHER in report["company"]["all"]["activities"]
    for partitions in (1, 3):
        assert report_bytes(shuffled(stream, Random(seed)), None, partitions) == straight


def test_the_oracle_says_the_same_of_what_has_room() -> None:
    assert_agreed([crowded(seed) for seed in range(10, 14)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.booleans(), ANY), max_size=400))
def test_a_days_kinds_are_those_of_all_its_activities_within_bounds(steps: Sequence[tuple[bool, str]]) -> None:
    kinds, counts, every = KindCounts(KINDS), dict[str, int](), Counter[str]()
    for is_new, kind in steps:
        if is_new:
            kinds.add(("r", 1), counts, kind)
            every[kind] += 1
        elif every[kind]:
            kinds.remove(("r", 1), counts, kind)
            every[kind] -= 1
        assert counts == within_bounds(+every, KINDS)
    for kind in list(every.elements()):
        kinds.remove(("r", 1), counts, kind)
    assert counts == {}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(ANY, max_size=120), min_size=1, max_size=5))
def test_parts_within_bounds_add_up_to_the_whole_within_bounds(parts: Sequence[Sequence[str]]) -> None:
    sums, every = Partial(), Counter[str]()
    for part in parts:
        add(sums, Partial(activities=within_bounds(Counter(part), KINDS)))
        every.update(part)
    assert within_bounds(sums.activities, KINDS) == within_bounds(every, KINDS)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=300), st.integers(1, 6))
def test_first_names_are_the_first_of_all(steps: Sequence[tuple[bool, int]], most: int) -> None:
    names, every, kept = FirstNames(most), set[str](), set[str]()
    for is_new, number in steps:
        name = f"{number:02}"
        if is_new and name not in every:
            every.add(name)
            kept.add(name)
            kept.discard(names.add(name) or "")
        elif not is_new and name in every:
            every.remove(name)
            kept.discard(name)
            first = names.remove(name)
            kept |= set() if first is None else {first}
        assert kept == set(sorted(every)[:most])


def test_a_ledger_publishes_no_more_than_has_room_whatever_comes() -> None:
    random = Random(1)
    stream = crowded(1)
    ledger = Ledger(POLICY, directory_of(POLICY))
    mirror: dict[str, Segment] = {}
    partials: dict[str, Partial] = {}
    for message in shuffled(stream, random):
        assert not isinstance(message, ev.RepUpdated)
        ledger.apply(message)
        if random.randrange(50) == 0:
            publish(ledger, mirror, partials)
    publish(ledger, mirror, partials)
    report = replay(stream.messages, POLICY, None)
    assert len(mirror) <= MAX_SEGMENTS + 2
    assert {name: segment.customers for name, segment in sum_of_segments([mirror]).items()} == {
        name: segment["customers"] for name, segment in report["segments"].items()
    }
    assert max(len(partial.activities) for partial in partials.values()) <= MAX_FREE_KINDS + len(KINDS) + 1


def publish(ledger: Ledger, mirror: dict[str, Segment], partials: dict[str, Partial]) -> None:
    ledger.refold()
    changes = ledger.drain_changes()
    for name, raw in changes.puts.get("segments", {}).items():
        mirror[name] = msgspec.msgpack.decode(raw, type=Segment)
    for name in changes.deletes.get("segments", []):
        mirror.pop(name, None)
    for field, raw in changes.puts.get("partials", {}).items():
        partials[field] = msgspec.msgpack.decode(raw, type=Partial)
    for field in changes.deletes.get("partials", []):
        partials.pop(field, None)
