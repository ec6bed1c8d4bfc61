"""The simulated team: the same every time, believable, complete, and continuable."""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from config.load_policy import load_policy
from processors.core.reports.replay import Replay
from processors.core.time.instants import DAY_US, HOUR_US, instant_us, moment
from processors.ingest.simulator.simulator import Simulator
from schemas.codec import decode_event, decode_rep, encode
from schemas.errors import UsageError
from schemas.events import (
    ActivityLogged,
    CustomerRevenue,
    CustomerUpdated,
    Event,
    EventRetracted,
    OpportunityCreated,
    OpportunityLost,
    OpportunityReopened,
    OpportunityStageEntered,
    OpportunityWon,
    RequestAnswered,
    RequestAssigned,
    RequestClosed,
    RequestOpened,
)

START_US = instant_us(datetime(2025, 10, 13, tzinfo=UTC))
MONTH_US = 30 * DAY_US
HISTORY_US = START_US + 120 * DAY_US


@pytest.fixture(scope="module")
def history() -> list[Event]:
    """Four months of the default team."""
    return list(Simulator(7, START_US).events(HISTORY_US))


def at_us(event: Event) -> int:
    return instant_us(event.occurred_at)


def of(history: list[Event], *kinds: type[Event]) -> list[Event]:
    return [event for event in history if isinstance(event, kinds)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    first, again, other = (
        b"".join(v for _, v in Simulator(seed, START_US).encoded(START_US + DAY_US)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_encoded_messages_are_the_events_keyed_by_customer() -> None:
    until_us = START_US + 2 * DAY_US
    events = Simulator(3, START_US, reps=7, intensity=3.0).events(until_us)
    expected = [(event.customer_id.encode(), encode(event)) for event in events]
    assert list(Simulator(3, START_US, reps=7, intensity=3.0).encoded(until_us)) == expected
    assert len(expected) > 100


def test_history_and_then_live_is_the_same_as_all_at_once() -> None:
    whole = list(Simulator(3, START_US).events(START_US + 3 * DAY_US))
    simulator = Simulator(3, START_US)
    pieces = [event for step in range(1, 72 * 4 + 1) for event in simulator.events(START_US + step * HOUR_US // 4)]
    assert pieces == whole
    assert len(pieces) > 500


def test_without_an_end_it_goes_on_for_ever_from_where_it_was() -> None:
    simulator = Simulator(3, START_US)
    before = list(simulator.events(START_US + DAY_US))
    after = list(islice(simulator.events(), 5000))
    assert all(at_us(event) <= START_US + DAY_US for event in before)
    assert all(at_us(event) > START_US + DAY_US for event in after)


def test_an_instant_reached_already_brings_nothing_twice() -> None:
    simulator = Simulator(3, START_US)
    assert list(simulator.events(START_US + DAY_US))
    assert list(simulator.events(START_US + DAY_US)) == []


def test_events_come_in_order_of_time_and_none_before_the_start(history: list[Event]) -> None:
    instants = [at_us(event) for event in history]
    assert instants == sorted(instants)
    assert instants[0] >= START_US
    assert instants[-1] <= HISTORY_US


def test_every_type_of_the_contract_occurs_and_decodes(history: list[Event]) -> None:
    assert {type(event) for event in history} == set(get_args(Event))
    assert all(decode_event(encode(event)) == event for event in history)


def test_the_core_takes_every_event_and_finds_nothing_wrong(history: list[Event]) -> None:
    run = Replay(load_policy(Path("config/policy.toml")), None)
    for message in (*Simulator(7, START_US).directory(), *history):
        run.add(message)
    report = run.report()
    assert run.rejected == []
    assert report["events"]["applied"] == len(history) + 24
    assert report["company"]["all"]["cycle_fallbacks"] == 0
    assert 0 < len(report["open_requests"]) < 150
    assert set(report["segments"]) == {"small", "medium", "enterprise", "unknown"}


def test_event_ids_are_unique_and_those_of_another_simulation_are_different(history: list[Event]) -> None:
    ids = {event.event_id for event in history}
    assert len(ids) == len(history)
    for other in (Simulator(8, START_US), Simulator(7, START_US + DAY_US), Simulator(7, START_US, intensity=2.0)):
        assert ids.isdisjoint(event.event_id for event in other.events(START_US + 5 * DAY_US))


def test_the_mix_is_that_of_a_real_team(history: list[Event]) -> None:
    families = Counter(type(event).__struct_config__.tag.split(".")[0] for event in history)  # type: ignore[union-attr]
    shares = {family: count / len(history) for family, count in families.items()}
    assert 0.50 < shares["activity"] < 0.60
    assert 0.24 < shares["request"] < 0.33
    assert 0.12 < shares["opportunity"] + shares["customer"] < 0.21


def test_more_intensity_brings_proportionally_more() -> None:
    once, fivefold = (
        len(of(list(Simulator(1, START_US, intensity=intensity).events(START_US + 10 * DAY_US)), ActivityLogged))
        for intensity in (1.0, 5.0)
    )
    assert 4.5 < fivefold / once < 5.5


def test_reps_have_names_teams_and_zones_and_their_own_decodable_entries() -> None:
    directory = Simulator(7, START_US, reps=700).directory()
    assert len({rep.rep_id for rep in directory}) == len({rep.name for rep in directory}) == 700
    assert all(decode_rep(encode(rep)) == rep for rep in directory)
    teams = defaultdict(set)
    for rep in directory:
        teams[rep.team].add(rep.time_zone)
    assert len(teams) == 117
    assert all(len(zones) == 1 for zones in teams.values())


def test_people_work_in_their_own_office_hours_and_not_at_weekends(history: list[Event]) -> None:
    zones = {rep.rep_id: ZoneInfo(rep.time_zone or "UTC") for rep in Simulator(7, START_US).directory()}
    hours: Counter[int] = Counter()
    for event in of(history, ActivityLogged):
        assert isinstance(event, ActivityLogged)
        local = event.occurred_at.astimezone(zones[event.rep_id])
        hours[local.hour] += 1
        assert local.weekday() < 5
    assert set(hours) <= set(range(8, 19))
    assert hours[12] < 0.6 * hours[10], "lunch is quiet"


def test_requests_come_at_weekends_too_but_fewer(history: list[Event]) -> None:
    days = Counter(event.occurred_at.weekday() < 5 for event in of(history, RequestOpened))
    assert 0 < days[False] < 0.2 * days[True]


def turns(history: list[Event]) -> dict[str, list[Event]]:
    by_request: dict[str, list[Event]] = defaultdict(list)
    for event in of(history, RequestOpened, RequestAnswered, RequestAssigned, RequestClosed):
        request_id = getattr(event, "request_id", None)
        if request_id:
            by_request[request_id].append(event)
    return by_request


def test_a_request_begins_with_the_customers_message(history: list[Event]) -> None:
    assert all(isinstance(events[0], RequestOpened) for events in turns(history).values())


def test_waits_spread_from_minutes_to_days(history: list[Event]) -> None:
    waits = []
    for events in turns(history).values():
        answers = [e for e in events if isinstance(e, RequestAnswered) and not e.automated and not e.internal]
        if answers:
            waits.append((at_us(answers[0]) - at_us(events[0])) / HOUR_US)
    within_hour = sum(wait <= 1 for wait in waits) / len(waits)
    over_day = sum(wait > 24 for wait in waits) / len(waits)
    assert 0.3 < within_hour < 0.7
    assert 0.02 < over_day < 0.2


def test_requests_have_bots_notes_nudges_reopened_turns_and_unlinked_answers(history: list[Event]) -> None:
    answers = [event for event in history if isinstance(event, RequestAnswered)]
    assert any(answer.automated for answer in answers)
    assert any(answer.internal for answer in answers)
    assert any(answer.request_id is None for answer in answers)
    assert any(event.automated for event in history if isinstance(event, RequestOpened))
    assert any(event.rep_id is None for event in history if isinstance(event, RequestAssigned))
    reasons = {event.reason for event in history if isinstance(event, RequestClosed)}
    assert reasons == {"resolved", "withdrawn", "spam", "no_reply_needed"}
    stories = turns(history).values()
    assert any([type(e) for e in events[:2]] == [RequestOpened, RequestOpened] for events in stories), "nudges"
    assert any(answered_then_asked(events) for events in stories), "reopened turns"
    assert any(len(events) == 1 for events in stories), "never answered"


def answered_then_asked(events: list[Event]) -> bool:
    kinds = [type(event) for event in events]
    return RequestAnswered in kinds and RequestOpened in kinds[kinds.index(RequestAnswered) :]


def test_bursts_of_one_topic_hit_a_rep_within_minutes(history: list[Event]) -> None:
    seen: dict[tuple[str | None, str | None], list[int]] = defaultdict(list)
    for event in history:
        if isinstance(event, RequestOpened) and event.rep_id and event.topic:
            seen[event.rep_id, event.topic].append(at_us(event))
    assert any(late - early < HOUR_US for times in seen.values() for early, late in zip(times, times[3:], strict=False))


def opportunities(history: list[Event]) -> dict[str, list[Event]]:
    stories: dict[str, list[Event]] = defaultdict(list)
    for event in history:
        opportunity_id = getattr(event, "opportunity_id", None)
        if opportunity_id:
            stories[opportunity_id].append(event)
    return stories


def test_an_opportunity_begins_with_its_creation(history: list[Event]) -> None:
    assert all(isinstance(events[0], OpportunityCreated) for events in opportunities(history).values())


def test_stages_are_those_of_the_shipped_pipeline_with_skips_and_ways_back(history: list[Event]) -> None:
    order = ["prospecting", "qualified", "demo", "trial", "proposal", "negotiation"]
    steps: Counter[int] = Counter()
    for events in opportunities(history).values():
        stages = [order.index(event.stage) for event in events if isinstance(event, OpportunityStageEntered)]
        steps.update(after - before for before, after in pairwise(stages))
    assert set(steps) == {-1, 0, 1, 2}
    assert steps[1] > steps[2] > steps[-1] > steps[0]


def test_opportunities_are_won_lost_reopened_and_won_again(history: list[Event]) -> None:
    closes: Counter[tuple[str, ...]] = Counter()
    for events in opportunities(history).values():
        ends = (OpportunityWon, OpportunityLost, OpportunityReopened)
        closes[tuple(type(event).__name__[11:] for event in events if isinstance(event, ends))] += 1
    assert closes["Won", "Reopened", "Won"] > 0
    assert closes["Lost", "Reopened", "Won"] > 0
    won, lost = closes["Won",], closes["Lost",]
    assert 0.3 < won / (won + lost) < 0.65


def test_skill_and_speed_set_reps_apart(history: list[Event]) -> None:
    closed: dict[str, Counter[str]] = defaultdict(Counter)
    for event in history:
        if isinstance(event, OpportunityWon | OpportunityLost):
            closed[event.rep_id][type(event).__name__] += 1
    rates = sorted(c["OpportunityWon"] / c.total() for c in closed.values() if c.total() >= 20)
    assert len(rates) > 10
    assert rates[-1] - rates[0] > 0.2


def test_customers_bring_money_and_get_some_back_and_change_segment(history: list[Event]) -> None:
    amounts = [event.amount for event in history if isinstance(event, CustomerRevenue)]
    assert min(amounts) < 0 < max(amounts)
    segments: dict[str, set[str]] = defaultdict(set)
    for event in history:
        if isinstance(event, CustomerUpdated) and event.segment:
            segments[event.customer_id].add(event.segment)
    assert any(len(known) > 1 for known in segments.values())


def test_every_customer_is_introduced(history: list[Event]) -> None:
    introduced = {event.customer_id for event in history if isinstance(event, CustomerUpdated)}
    assert {event.customer_id for event in history} == introduced


def test_a_retraction_names_an_earlier_event_of_the_same_customer(history: list[Event]) -> None:
    known: dict[str, Event] = {}
    entities = set()
    for event in history:
        if isinstance(event, EventRetracted):
            retracted = known[event.retracts]
            assert retracted.customer_id == event.customer_id
            assert retracted.occurred_at < event.occurred_at
            entities.add(event.entity)
        known[event.event_id] = event
    assert entities == {"request", "opportunity", "activity"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reps": 0}, "0 reps"),
        ({"reps": 10, "customers": 9}, "9 customers for 10 reps"),
        ({"intensity": 0.0}, "intensity 0.0"),
    ],
)
def test_impossible_teams_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Simulator(1, START_US, **arguments)  # type: ignore[arg-type]


def test_one_rep_alone_can_be_simulated() -> None:
    events = list(Simulator(1, START_US, reps=1, customers=1).events(START_US + MONTH_US))
    assert {event.customer_id for event in events} == {"C-00001"}
    assert len(events) > 500
    assert moment(START_US) <= events[0].occurred_at
