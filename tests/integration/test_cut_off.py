"""A worker that is cut off from Kafka, and not from Redis, neither wipes what its successor shows nor raises alarms."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from config.settings import Settings
from processors.commands.verify import verify
from schemas import events as ev
from schemas.alerts import Takeover, Transition, alert_id_of, takeover_of
from tests.integration.cut import cut_proxy
from tests.integration.stack import ReadModel, Worker, alert_records, records, send, send_raw, wait_until, worker

CUSTOMERS = 40
DUE_SECONDS = 9.0
"""The deadline passes while the worker that is cut off would still take itself for the owner."""
WATCHED_SECONDS = 13.0
"""By then, any worker has noticed that its broker is silent."""


def requests(opened: datetime) -> list[ev.Event]:
    return [
        ev.RequestOpened(
            event_id=f"o{n}", occurred_at=opened, customer_id=f"c{n}", request_id="r", rep_id="ann", channel="email"
        )
        for n in range(CUSTOMERS)
    ]


def answers() -> list[ev.Event]:
    now = datetime.now(UTC)
    return [
        ev.RequestAnswered(event_id=f"a{n}", occurred_at=now, customer_id=f"c{n}", rep_id="ann", request_id="r")
        for n in range(CUSTOMERS)
    ]


def through(settings: Settings, bootstrap: str) -> Settings:
    return msgspec.structs.replace(settings, kafka=msgspec.structs.replace(settings.kafka, bootstrap=bootstrap))


def watch(model: ReadModel, until: Callable[[], bool], *workers: Worker) -> None:
    """Wait until then; at no moment is anything that was published gone."""
    reached = 0

    def is_over() -> bool:
        nonlocal reached
        position = model.position()
        assert position >= reached, f"what was published up to {reached} is at {position} now"
        reached = position
        return until()

    wait_until(is_over, "the cut was watched", *workers)


def fired(settings: Settings) -> list[str]:
    said = [msgspec.json.decode(record.value, type=Transition) for record in alert_records(settings)]
    return [transition.alert_id for transition in said if transition.state == "fired"]


def test_what_a_former_owner_sent_after_its_last_checkpoint_is_taken_back(settings: Settings, tmp_path: Path) -> None:
    model = ReadModel(settings)
    send(settings, requests(datetime.now(UTC))[:1])
    with worker(settings, tmp_path) as former:
        wait_until(lambda: model.position() == 1, "the request is shown", former)
        assert former.process.stop() == 0
    partition = next(number for number, fields in enumerate(model.section("open")) if fields)
    epoch = max(owner.epoch for owner in take_overs(settings) if owner.partition == partition)
    now_us = time.time_ns() // 1000
    alarm = Transition(
        alert_id=alert_id_of("c0", "r", 1, "1h"),
        revision=1024 * (now_us // 1000 + 1) + 1,
        state="fired",
        level="1h",
        severity="page",
        request_id="r",
        turn=1,
        customer_id="c0",
        rep_id="ann",
        team="unknown",
        channel="email",
        priority="normal",
        opened_us=now_us,
        due_us=now_us,
        at_us=now_us,
        reason="overdue",
        partition=partition,
        epoch=epoch,
    )
    send_raw(settings, [(now_us, alarm.alert_id.encode(), msgspec.json.encode(alarm))], settings.kafka.alerts_topic)

    with worker(settings, tmp_path) as successor:
        wait_until(lambda: len(alert_records(settings)) > 1, "the alarm is taken back", successor)

    (_, last) = [msgspec.json.decode(record.value, type=Transition) for record in alert_records(settings)]
    assert (last.alert_id, last.state) == (alarm.alert_id, "retracted")
    assert last.revision > alarm.revision
    assert (last.partition, last.epoch) == (
        partition,
        max(owner.epoch for owner in take_overs(settings) if owner.partition == partition),
    )


def take_overs(settings: Settings) -> list[Takeover]:
    """All that took over a partition."""
    found = records(settings, settings.kafka.alerts_topic)
    return [owner for record in found if (owner := takeover_of(record.key, record.headers)) is not None]


def test_a_worker_cut_off_from_kafka_alone_publishes_and_alerts_no_more(settings: Settings, tmp_path: Path) -> None:
    model = ReadModel(settings)
    send(settings, [])
    with cut_proxy(settings.kafka.bootstrap) as proxy:
        behind = through(settings, proxy.bootstrap)
        with worker(behind, tmp_path / "cut") as lost, worker(settings, tmp_path / "other") as other:
            share = settings.kafka.partitions // 2
            wait_until(lambda: lost.owns(share) and other.owns(share), "each owns its share", lost, other)
            due_at = time.monotonic() + DUE_SECONDS
            send(settings, requests(datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=DUE_SECONDS)))
            wait_until(lambda: model.position() == CUSTOMERS, "the requests are shown", lost, other)

            proxy.cut()
            cut_at = time.monotonic()
            assert cut_at < due_at, "the machine is too slow for this test"
            send(settings, answers())
            watch(model, lambda: time.monotonic() > cut_at + WATCHED_SECONDS, lost, other)
            watch(model, lambda: model.position() == 2 * CUSTOMERS, lost, other)
            assert not any(model.section("open"))

            proxy.heal()
            watch(model, lambda: lost.owns(share) and other.owns(share), lost, other)
            send(
                settings,
                [
                    ev.ActivityLogged(
                        event_id="last", occurred_at=datetime.now(UTC), customer_id="c0", rep_id="ann", kind="call"
                    )
                ],
            )
            watch(model, lambda: model.position() == 2 * CUSTOMERS + 1, lost, other)
            verification = verify(settings)

    assert verification.differences == []
    assert fired(settings) == []
