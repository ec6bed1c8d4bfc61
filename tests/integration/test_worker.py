"""A worker process against a real broker and a real Redis: what goes in comes out, and what is bad does not stop it."""

import asyncio
import math
import signal
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import cast

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from config.settings import Settings
from processors.commands.verify import verify
from processors.core.time.instants import DAY_US, moment
from processors.dev.broker import EmbeddedBroker, embedded_broker
from processors.dev.process import free_port
from processors.dev.redis_server import EmbeddedRedis, embedded_redis
from processors.ingest.simulator.simulator import Simulator
from processors.kafka.timed_messages import from_messages
from processors.kafka.topics import ensure_topics
from schemas import codec
from schemas import events as ev
from schemas.alerts import Transition
from schemas.events import Event
from tests.integration.stack import (
    DEADLINE_SECONDS,
    ReadModel,
    Worker,
    alert_records,
    records,
    send,
    send_raw,
    wait_until,
    worker,
)

PARTITIONS = 4
NOW_US = time.time_ns() // 1000


def logged(number: int, rep: str = "alice", hours_ago: float = 1) -> ev.ActivityLogged:
    """An activity of a customer of its own."""
    at = datetime.now(UTC) - timedelta(hours=hours_ago)
    return ev.ActivityLogged(event_id=f"a{number}", occurred_at=at, customer_id=f"c{number}", rep_id=rep, kind="call")


def team(events: int) -> tuple[list[ev.RepUpdated], list[Event]]:
    """A simulated team's directory and its events of the last ten days."""
    simulator = Simulator(11, NOW_US - 10 * DAY_US, reps=12, intensity=4.0)
    return simulator.directory(), list(islice(simulator.events(NOW_US - DAY_US), events))


def activities(model: ReadModel, scope: str = "rep") -> dict[str, int]:
    """Calls by rep."""
    return {subject: sums["activities/call"] for (kind, subject), sums in model.sums().items() if kind == scope}


@pytest.fixture
def model(settings: Settings) -> ReadModel:
    return ReadModel(settings)


def test_a_teams_events_become_the_read_model_that_the_core_says(
    settings: Settings, model: ReadModel, tmp_path: Path
) -> None:
    reps, events = team(20_000)
    send_raw(settings, from_messages(reps), settings.kafka.reps_topic)
    send(settings, events)

    with worker(settings, tmp_path) as running:
        wait_until(lambda: model.position() == len(events), "every event was published", running)
        wait_until(lambda: len(model.reps()) == len(reps), "every rep was published", running)
        verification = verify(settings)
        page = running.page()

    assert verification.differences == []
    assert verification.fields > 500
    assert page.total("salespulse_events_total", result="applied") == len(events) + len(reps)
    assert page.total("salespulse_input_partitions") == PARTITIONS
    assert page.total("salespulse_redis_up") == 1
    assert page.total("salespulse_rebalances_total") == 1


def test_a_worker_that_is_told_to_stop_leaves_nothing_to_do_again(
    settings: Settings, model: ReadModel, tmp_path: Path
) -> None:
    send(settings, [logged(n) for n in range(2000)])
    with worker(settings, tmp_path) as running:
        wait_until(lambda: running.counted() == 2000, "every event was taken", running)
        assert running.process.stop() == 0
        assert '"stopped"' in running.log()

    send(settings, [logged(n) for n in range(2000, 2010)])
    with worker(settings, tmp_path) as again:
        wait_until(lambda: model.position() == 2010, "the later events were published", again)
        assert again.counted() == 10
        assert "2000 events replayed" in again.log()
        again.process.send(signal.SIGINT)
        wait_until(lambda: again.process.exit_code is not None, "it stopped at SIGINT")
        assert again.process.exit_code == 0

    assert activities(model) == {"alice": 2010}


def test_a_worker_can_be_stopped_while_it_starts(settings: Settings, tmp_path: Path) -> None:
    ensure_topics(settings)
    with worker(settings, tmp_path) as running:
        wait_until(lambda: running.page().total("salespulse_input_partitions") > 0, "it passed its checks", running)
        assert running.process.stop(DEADLINE_SECONDS) == 0
        assert "Traceback" not in running.log()


@pytest.mark.slow
def test_a_worker_whose_broker_hangs_ends_all_the_same(settings: Settings, tmp_path: Path) -> None:
    with embedded_broker(tmp_path) as broker:
        kafka = msgspec.structs.replace(settings.kafka, bootstrap=broker.bootstrap)
        alone = msgspec.structs.replace(settings, kafka=kafka)
        send(alone, [logged(1)])
        with worker(alone, tmp_path) as running:
            wait_until(lambda: running.counted() == 1, "it works", running)
            broker.process.send(signal.SIGSTOP)
            try:
                assert running.process.stop(DEADLINE_SECONDS) == 1
            finally:
                broker.process.send(signal.SIGCONT)
            assert "did not stop within" in running.log()


MILLS = ev.CustomerRevenue(event_id="x", occurred_at=moment(NOW_US), customer_id="c", amount=Decimal("1.005"))
BAD = {
    "malformed JSON": (b'{"type": "activity.logged",', "malformed"),
    "unknown type": (b'{"type":"activity.dreamt","event_id":"x"}', "unknown_type"),
    "missing field": (b'{"type":"activity.logged","event_id":"x","customer_id":"c"}', "malformed"),
    "naive time": (codec.encode(logged(1)).replace(b"Z", b""), "malformed"),
    "id too long": (codec.encode(logged(1)).replace(b'"a1"', b'"' + b"a" * 129 + b'"'), "malformed"),
    "three decimals": (codec.encode(MILLS), "malformed"),
    "wrong encoding": (codec.encode(logged(1, rep="Müller")).decode().encode("latin-1"), "malformed"),
    "not an object": (b"17", "malformed"),
    "5 MB": (b" " * 5_000_000, "too_large"),
}


def test_bad_input_goes_to_the_dead_letters_and_the_worker_goes_on(
    settings: Settings, model: ReadModel, tmp_path: Path
) -> None:
    first = logged(1)
    send(settings, [first])
    for name, (value, _) in BAD.items():
        send_raw(settings, [(0, name.encode(), value)])
    send(settings, [logged(2), first])

    with worker(settings, tmp_path) as running:
        wait_until(lambda: model.position() == len(BAD) + 3, "every record was passed", running)
        wait_until(lambda: running.page().total("salespulse_changelog_seconds_count") > 0, "a checkpoint", running)
        page = running.page()
        letters = records(settings, settings.kafka.dead_letters_topic)

    by_key = {letter.key.decode(): letter for letter in letters}
    assert by_key.keys() == BAD.keys()
    for name, (value, reason) in BAD.items():
        headers = {key: found.decode() for key, found in by_key[name].headers}
        assert headers["reason"] == reason, headers
        assert headers["topic"] == settings.kafka.events_topics[0]
        assert headers["partition"].isdigit()
        assert headers["offset"].isdigit()
        assert value.startswith(by_key[name].value)
    assert by_key["5 MB"].value == b" " * 512 * 1024
    assert page.total("salespulse_dead_letters_total") == len(BAD)
    assert page.total("salespulse_dead_letters_total", reason="too_large") == 1
    assert model.quality("malformed") == len(BAD) - 2
    assert model.quality("duplicate") == 1
    assert activities(model) == {"alice": 2}


async def send_odd(settings: Settings) -> None:
    topic, nothing = settings.kafka.events_topics[0], cast("bytes", None)
    client = AIOKafkaProducer(bootstrap_servers=settings.kafka.bootstrap, max_request_size=8_000_000)
    await client.start()
    await client.send_and_wait(topic, b"C-00001", key=b"k" * 2_000_000)
    await client.send_and_wait(topic, codec.encode(logged(1)), key=b"c1", headers=[("trace", nothing)])
    await client.stop()


def test_keys_and_headers_of_any_kind_stop_nobody(settings: Settings, model: ReadModel, tmp_path: Path) -> None:
    """A sender that takes the value for the key, and one whose headers have no values."""
    ensure_topics(settings)
    asyncio.run(send_odd(settings))
    with worker(settings, tmp_path) as running:
        wait_until(lambda: model.position() == 2, "every record was passed", running)
        wait_until(lambda: running.page().total("salespulse_changelog_seconds_count") > 0, "a checkpoint", running)
        assert verify(settings).differences == []
    (letter,) = records(settings, settings.kafka.dead_letters_topic)
    assert dict(letter.headers)["key_bytes"] == b"2000000"
    assert activities(model) == {"alice": 1}


def test_a_directory_change_moves_a_reps_numbers_while_the_worker_runs(
    settings: Settings, model: ReadModel, tmp_path: Path
) -> None:
    def announce(team_name: str) -> None:
        rep = ev.RepUpdated(rep_id="alice", name="Alice", team=team_name)
        send_raw(settings, from_messages([rep]), settings.kafka.reps_topic)

    def teams() -> set[str]:
        return {subject for scope, subject in model.sums() if scope == "team"}

    answer = ev.RequestAnswered(
        event_id="r2", occurred_at=moment(NOW_US), customer_id="c1", rep_id="alice", request_id="r"
    )
    request = ev.RequestOpened(
        event_id="r1", occurred_at=moment(NOW_US), customer_id="c1", request_id="r", channel="email"
    )
    announce("north")
    send(settings, [request, answer])
    with worker(settings, tmp_path) as running:
        wait_until(lambda: teams() == {"north"}, "the team's numbers", running)

        announce("south")
        wait_until(lambda: teams() == {"south"}, "the numbers moved to the other team", running)
        wait_until(lambda: b"south" in model.reps()["alice"], "the directory was published", running)
        send_raw(settings, [(0, b"bob", b'{"type":"rep.updated"}')], settings.kafka.reps_topic)
        wait_until(
            lambda: running.page().total("salespulse_events_total", type="rep.updated", result="malformed") == 1,
            "a bad entry was counted",
            running,
        )
    assert "the former entry stays" in running.log()


def test_several_topics_that_share_their_customers_are_one_stream(
    settings: Settings, topic_prefix: str, tmp_path: Path
) -> None:
    topics = (f"{topic_prefix}.crm", f"{topic_prefix}.mail")
    both = msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, events_topics=topics))
    model = ReadModel(both)
    opened = [
        ev.RequestOpened(
            event_id=f"q{n}", occurred_at=moment(NOW_US), customer_id=f"c{n}", request_id=f"r{n}", channel="email"
        )
        for n in range(40)
    ]
    answers = [
        ev.RequestAnswered(event_id=f"a{n}", occurred_at=moment(NOW_US), customer_id=f"c{n}", rep_id="alice")
        for n in range(40)
    ]
    send_raw(both, from_messages(opened), topics[0])

    with worker(both, tmp_path) as running:
        wait_until(lambda: model.position() == 40, "the requests were published", running)
        assert running.owns(PARTITIONS)
        assert running.page().total("salespulse_input_partitions") == PARTITIONS
        running.process.kill()
    send_raw(both, from_messages(answers), topics[1])
    with worker(both, tmp_path) as again:
        wait_until(lambda: model.position() == 80, "the answers were published", again)

    assert model.sums()["rep", "alice"]["responses"] == 40
    assert not any(model.section("open"))


def test_overdue_requests_are_told_once_and_resolved_when_answered(settings: Settings, tmp_path: Path) -> None:
    opened = datetime.now(UTC) - timedelta(minutes=90)
    request = ev.RequestOpened(
        event_id="r1", occurred_at=opened, customer_id="c1", request_id="r", rep_id="alice", channel="email"
    )

    def told() -> list[tuple[str, str]]:
        found = alert_records(settings)
        transitions = [msgspec.json.decode(record.value, type=Transition) for record in found]
        assert [record.key.decode() for record in found] == [transition.alert_id for transition in transitions]
        return [(transition.level, transition.state) for transition in transitions]

    send(settings, [request])
    with worker(settings, tmp_path) as running:
        wait_until(lambda: ("1h", "fired") in told(), "the alert fired", running)
        assert running.page().total("salespulse_alert_transitions_total", state="fired") == 1
        assert running.page().total("salespulse_alert_lag_seconds_count") == 0, (
            "it fell due before the worker was there"
        )
        running.process.kill()
    answer = ev.RequestAnswered(
        event_id="r2", occurred_at=datetime.now(UTC), customer_id="c1", rep_id="alice", request_id="r"
    )
    send(settings, [answer])
    with worker(settings, tmp_path) as again:
        wait_until(lambda: ("1h", "resolved") in told(), "the alert resolved", again)

    assert told()[-1] == ("1h", "resolved")


def test_an_emptied_and_an_absent_read_model_are_caught_up_with(settings: Settings, tmp_path: Path) -> None:
    with embedded_redis(tmp_path / "first") as first:
        away = msgspec.structs.replace(settings, redis=msgspec.structs.replace(settings.redis, url=first.url))
        model = ReadModel(away)
        send(away, [logged(n) for n in range(100)])
        with worker(away, tmp_path) as running:
            wait_until(lambda: activities(model) == {"alice": 100}, "the first events were published", running)
            first.stop()
            send(away, [logged(n, "bob") for n in range(100, 200)])
            wait_until(lambda: running.counted() == 200, "Kafka did not wait for Redis", running)
            wait_until(lambda: running.page().total("salespulse_redis_up") == 0, "it noticed", running)

            back = EmbeddedRedis.start(tmp_path / "second", first.port)
            try:
                both = {"alice": 100, "bob": 100}
                wait_until(lambda: activities(model) == both, "the emptied read model was filled", running)
                assert running.page().total("salespulse_redis_up") == 1
            finally:
                back.stop()
            assert running.log().count("going on without the read model") == 1


def test_a_worker_waits_for_its_broker_with_a_line_now_and_then(
    settings: Settings, tmp_path: Path, topic_prefix: str
) -> None:
    port = free_port()
    kafka = msgspec.structs.replace(settings.kafka, bootstrap=f"127.0.0.1:{port}")
    alone = msgspec.structs.replace(settings, kafka=kafka)

    with worker(alone, tmp_path) as running:
        wait_until(lambda: "does not answer" in running.log(), "it said so", running)
        assert running.page().total("salespulse_kafka_up") == 0
        assert math.isnan(running.page().total("salespulse_redis_up")), "it was not asked yet"
        broker = EmbeddedBroker.start(tmp_path, port)
        try:
            ensure_topics(alone)
            wait_until(lambda: running.owns(PARTITIONS), "it works", running)
        finally:
            running.process.kill()
            broker.stop()

    assert running.log().count("does not answer") == 1
    assert running.log().count("Unable connect to") == 1
    assert topic_prefix in running.log()


def refused(settings: Settings, directory: Path) -> str:
    """The last line of a worker that refuses to start."""
    with worker(settings, directory) as running:
        wait_until(lambda: running.process.exit_code is not None, "it ended")
        assert running.process.exit_code == 1
        assert "Traceback" not in running.log()
        return running.log().strip().splitlines()[-1]


def test_a_missing_topic_is_refused_in_one_line(settings: Settings, tmp_path: Path) -> None:
    line = refused(settings, tmp_path)

    assert line.startswith(f"salespulse: {settings.kafka.bootstrap} has no topic {settings.kafka.events_topics[0]}")
    assert "`salespulse topics`" in line


def test_topics_that_do_not_fit_are_refused_in_one_line(settings: Settings, tmp_path: Path) -> None:
    ensure_topics(settings)
    two = msgspec.structs.replace(settings.kafka, events_topics=(f"{settings.kafka.group}.two",), partitions=2)
    ensure_topics(msgspec.structs.replace(settings, kafka=msgspec.structs.replace(two, group=f"{two.group}.two")))

    line = refused(msgspec.structs.replace(settings, kafka=two), tmp_path)

    assert line.startswith("salespulse: partitions differ")


def test_a_taken_port_is_refused_in_one_line(settings: Settings, tmp_path: Path) -> None:
    ensure_topics(settings)
    with worker(settings, tmp_path) as first:
        wait_until(lambda: first.owns(PARTITIONS), "the first one has the port", first)
        second = Worker(settings, tmp_path / "second", first.port)
        wait_until(lambda: second.process.exit_code is not None, "the second one ended")

    assert second.process.exit_code == 1
    assert second.log().strip().startswith(f"salespulse: worker.metrics_port: 127.0.0.1:{first.port}")
