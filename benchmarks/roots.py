"""What an event costs in large roots, in whatever order it comes: nothing may be quadratic.

A root gets 1,000 facts and 10,000 facts, one customer 100,000. The ledger settles after every batch, as in a worker.
"""

import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from processors.core.ledger.ledger import Ledger
from processors.core.state.directory import Directory
from processors.core.time.instants import SECOND_US, instant_us, moment
from schemas.events import (
    ActivityLogged,
    Event,
    OpportunityCreated,
    OpportunityLost,
    OpportunityReopened,
    OpportunityStageEntered,
    RequestAnswered,
    RequestAssigned,
    RequestOpened,
)
from schemas.policy import DEFAULT_POLICY

START = moment(1_767_571_200 * SECOND_US)
STEP = timedelta(seconds=30)
BATCH = 1000
STAGES = DEFAULT_POLICY.pipelines["default"]
SEED = 1

Order = Callable[[list[Event]], list[Event]]


def request(size: int) -> Iterator[Event]:
    """One request: asked, given to another rep, answered, again and again."""
    for number in range(size):
        event_id, at, rep = f"e{number}", START + number * STEP, f"r{number % 7}"
        match number % 3:
            case 0:
                yield RequestOpened(event_id=event_id, occurred_at=at, customer_id="c", request_id="q", channel="email")
            case 1:
                yield RequestAssigned(event_id=event_id, occurred_at=at, customer_id="c", request_id="q", rep_id=rep)
            case _:
                yield RequestAnswered(event_id=event_id, occurred_at=at, customer_id="c", request_id="q", rep_id=rep)


def opportunity(size: int) -> Iterator[Event]:
    """One opportunity: created, moved from stage to stage, lost and reopened again and again."""
    for number in range(size):
        event_id, at = f"e{number}", START + number * STEP
        if number == 0:
            yield OpportunityCreated(
                event_id=event_id, occurred_at=at, customer_id="c", opportunity_id="o", rep_id="r1"
            )
        elif number % 8 < 6:
            stage = STAGES[number % 8]
            yield OpportunityStageEntered(
                event_id=event_id, occurred_at=at, customer_id="c", opportunity_id="o", rep_id="r1", stage=stage
            )
        else:
            kind = OpportunityLost if number % 8 == 6 else OpportunityReopened
            yield kind(event_id=event_id, occurred_at=at, customer_id="c", opportunity_id="o", rep_id="r1")


def customer(size: int) -> Iterator[Event]:
    """One customer: activities with many reps, requests, and answers that name no request."""
    for number in range(size):
        event_id, at, rep = f"e{number}", START + number * STEP, f"r{number % 50}"
        match number % 10:
            case 0:
                yield RequestOpened(
                    event_id=event_id, occurred_at=at, customer_id="c", request_id=f"q{number}", channel="email"
                )
            case 5:
                yield RequestAnswered(event_id=event_id, occurred_at=at, customer_id="c", rep_id=rep, channel="email")
            case _:
                yield ActivityLogged(event_id=event_id, occurred_at=at, customer_id="c", rep_id=rep, kind="call")


def shuffled(events: list[Event]) -> list[Event]:
    """In any order, the same at every run."""
    events = list(events)
    random.Random(SEED).shuffle(events)
    return events


def at_one_instant(events: list[Event]) -> list[Event]:
    """All at the same instant, in any order."""
    for event in events:
        event.occurred_at = START
    return shuffled(events)


ROOTS = {"request": request, "opportunity": opportunity, "customer": customer}
ORDERS: dict[str, Order] = {
    "in order": lambda events: events,
    "reversed": lambda events: events[::-1],
    "shuffled": shuffled,
    "at one instant": at_one_instant,
}


def cost_per_event(events: list[Event]) -> float:
    """Microseconds of CPU an event."""
    ledger = Ledger(DEFAULT_POLICY, Directory())
    ledger.set_clock(max(instant_us(event.occurred_at) for event in events))
    started = time.process_time()
    for first in range(0, len(events), BATCH):
        for event in events[first : first + BATCH]:
            ledger.apply(event)
        ledger.advance(ledger.stream_us)
        ledger.drain_transitions()
        ledger.drain_changes()
    return (time.process_time() - started) / len(events) * 1e6
