"""The demo's team: its directory and history reach the topics whole, and it goes on live from where that ended."""

import time

from kafka import TopicPartition

from config.clock import Clock
from config.settings import ClockSettings, KafkaSettings, Settings
from processors.core.time.instants import DAY_US, instant_us, moment
from processors.dev.simulated_team import SimulatedTeam, TeamOptions
from processors.kafka.topic_reader import consumer
from processors.kafka.topics import ensure_topics
from schemas.codec import decode_event
from schemas.errors import UsageError
from schemas.events import Event

TEAM = TeamOptions(seed=3, reps=4, days=5)
LIVE_FROM_US = instant_us(moment(0)) + 20_000 * DAY_US + DAY_US // 2
DEADLINE_SECONDS = 30.0


def records(kafka: KafkaSettings, topic: str) -> list[bytes]:
    """Everything on a topic now."""
    with consumer(kafka) as client:
        addresses = [TopicPartition(topic, number) for number in client.partitions_for_topic(topic) or ()]
        client.assign(addresses)
        client.seek_to_beginning()
        found: list[bytes] = []
        ends = client.end_offsets(addresses)
        while any(client.position(place) < end for place, end in ends.items()):
            found += [record.value for batch in client.poll(1000).values() for record in batch]
    return found


def events(settings: Settings) -> list[Event]:
    """All events in order of time."""
    found = map(decode_event, records(settings.kafka, settings.kafka.events_topics[0]))
    return sorted(found, key=lambda event: event.occurred_at)


def test_the_history_ends_where_live_time_begins(settings: Settings) -> None:
    ensure_topics(settings)
    shares: list[float] = []
    sent = SimulatedTeam(settings.kafka, TEAM, LIVE_FROM_US).send_history(shares.append)
    found = events(settings)
    assert len(records(settings.kafka, settings.kafka.reps_topic)) == TEAM.reps
    assert len(found) == len({event.event_id for event in found}) == sent > 0
    assert instant_us(found[0].occurred_at) >= LIVE_FROM_US - TEAM.days * DAY_US
    assert instant_us(found[-1].occurred_at) <= LIVE_FROM_US
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


def test_the_live_team_follows_the_clock_and_stops_when_told(settings: Settings) -> None:
    ensure_topics(settings)
    team = SimulatedTeam(settings.kafka, TEAM, LIVE_FROM_US)
    sent = team.send_history(lambda _: None)
    wall_origin = moment(time.time_ns() // 1000)
    clock = Clock(ClockSettings(mode="scaled", at=moment(LIVE_FROM_US), wall_origin=wall_origin, speed=3600.0))
    team.start_live(clock)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while team.delivery.acknowledged < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    team.stop()
    stopped_us = clock.now_us()
    found = events(settings)
    assert team.failure is None
    assert len(found) == len({event.event_id for event in found}) == sent + team.delivery.acknowledged
    assert LIVE_FROM_US < instant_us(found[-1].occurred_at) <= stopped_us


def test_a_live_team_that_cannot_send_says_why(settings: Settings) -> None:
    team = SimulatedTeam(settings.kafka, TEAM, LIVE_FROM_US)
    team.start_live(Clock(ClockSettings()))
    team.stop()
    assert isinstance(team.failure, UsageError)
    assert "does not exist" in str(team.failure)


def test_a_stopped_feed_that_never_went_live_is_no_error(settings: Settings) -> None:
    team = SimulatedTeam(settings.kafka, TEAM, LIVE_FROM_US)
    team.stop()
    assert team.failure is None
