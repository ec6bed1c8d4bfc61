"""Customers with tens of thousands of facts: the time for a fact does not grow with their number."""

from collections.abc import Callable
from random import Random

import msgspec
import pytest

from processors.core.ledger.ledger import Ledger
from processors.core.reports.explain import explain_request
from processors.core.reports.explain_opportunity import explain_opportunity
from processors.core.state.directory import directory_of
from processors.core.time.instants import instant_us
from schemas.events import Event
from schemas.policy import DEFAULT_POLICY
from tests.effort import cpu_seconds
from tests.story import activity, answered, created, opened, won

BATCH = 1000
PIPELINES = dict(DEFAULT_POLICY.pipelines)


def folded(story: list[Event], batch: int = BATCH) -> Ledger:
    """A ledger after these facts, with a publication now and then."""
    ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
    for number, event in enumerate(story, 1):
        ledger.apply(event)
        if number % batch == 0:
            ledger.drain_changes()
            ledger.drain_transitions()
    ledger.refold()
    return ledger


def open_on_another_channel(count: int) -> list[Event]:
    """Many wait by mail, and all chats are answered without naming a request."""
    story: list[Event] = [opened(n, f"r{n}") for n in range(count)]
    return story + [answered(count + n, "alice", None, channel="chat") for n in range(count)]


def answers_that_come_late(count: int) -> list[Event]:
    """Answers to no request in particular, from between the requests that came before them."""
    story: list[Event] = [opened(n, f"r{n}") for n in range(count)]
    return story + [answered(n + 0.5, "alice", None, channel="chat") for n in range(count)]


def activities_that_come_late(count: int) -> list[Event]:
    """Activities from before the closes that came first: each may be a first follow-up."""
    story: list[Event] = []
    for number in range(count):
        story += (created(number, "alice", f"o{number}"), won(2 * count + number, "alice", f"o{number}"))
    named = (f"o{number}" if number % 2 else None for number in range(count))
    return story + [activity(number, opportunity_id=name) for number, name in enumerate(named)]


def messages_of_one_who_waits_too_long(count: int) -> list[Event]:
    """Each comes by itself, and names the owner as always."""
    return [opened(n, rep_id="alice") for n in range(count)]


STORIES = (open_on_another_channel, answers_that_come_late, activities_that_come_late)


@pytest.mark.parametrize("tell", STORIES)
def test_s05_s24_one_customers_many_facts_take_no_quadratic_time(tell: Callable[[int], list[Event]]) -> None:
    def seconds(count: int) -> float:
        story = tell(count)
        return cpu_seconds(lambda: folded(story, batch=count))

    seconds(300)
    small, large = min(seconds(800) for _ in range(3)), min(seconds(8_000) for _ in range(2))
    assert large < 30 * small


def test_s02_further_messages_of_an_overdue_turn_take_no_quadratic_time() -> None:
    def seconds(count: int) -> float:
        story = messages_of_one_who_waits_too_long(count)

        def live() -> None:
            ledger = Ledger(DEFAULT_POLICY, directory_of(DEFAULT_POLICY))
            for event in story:
                ledger.apply(event)
                ledger.advance(instant_us(event.occurred_at))

        return cpu_seconds(live)

    seconds(300)
    small, large = min(seconds(400) for _ in range(3)), min(seconds(4_000) for _ in range(2))
    assert large < 30 * small


@pytest.mark.parametrize("tell", STORIES)
@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_s27_many_facts_of_one_customer_fold_to_the_same_in_any_order_and_batches(
    tell: Callable[[int], list[Event]], batch: int
) -> None:
    story = tell(60)
    shuffled = list(story)
    Random(batch).shuffle(shuffled)
    straight = everything(folded(story))
    assert everything(folded(story, batch)) == straight
    assert everything(folded(story[::-1], batch)) == straight
    assert everything(folded(shuffled, batch)) == straight


def everything(ledger: Ledger) -> dict[str, dict[str, object]]:
    """All fields by value: the order of keys in them is free."""
    puts = ledger.everything().puts
    return {
        section: {field: msgspec.msgpack.decode(value) for field, value in fields.items()}
        for section, fields in puts.items()
    }


def everybodys_request_has_one_id(count: int) -> list[Event]:
    """A system that numbers the requests of each customer anew."""
    return [opened(n, "1", customer=f"c{n}") for n in range(count)]


def turns_answered_by_nobody_in_particular(count: int) -> list[Event]:
    """One request of many turns, of which each answer names none."""
    story: list[Event] = []
    for number in range(count):
        story += (opened(2 * number, "1"), answered(2 * number + 1, "alice", None))
    return story


def many_activities_at_one_instant(count: int) -> list[Event]:
    """An import that knows only days: any of them is the first follow-up."""
    return [created(0, opportunity="1"), *(activity(1) for _ in range(count)), won(2, opportunity="1")]


@pytest.mark.parametrize(
    "tell", [everybodys_request_has_one_id, turns_answered_by_nobody_in_particular, many_activities_at_one_instant]
)
def test_an_account_takes_no_quadratic_time(tell: Callable[[int], list[Event]]) -> None:
    def seconds(count: int) -> float:
        ledger = folded(tell(count), batch=count)
        return cpu_seconds(lambda: (explain_request(ledger, "1", 0), explain_opportunity(ledger, "1", 0, PIPELINES)))

    few, many = seconds(500), seconds(4000)
    assert many < 30 * max(few, 0.005)
