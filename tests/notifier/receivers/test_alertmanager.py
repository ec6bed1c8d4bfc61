"""The notifier and a real Alertmanager with the shipped configuration, whose receiver for reps calls a webhook."""

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.alertmanager.native import render
from config.clock import Clock, wall_us
from config.settings import ClockSettings, Settings
from processors.core.time.instants import HOUR_US
from processors.dev.metrics_page import get
from processors.dev.process import LOOPBACK, ChildProcess, free_port
from processors.notifier import keep_alive
from processors.read_model.acknowledgements import HoldStore
from processors.read_model.redis_connection import connect
from tests.notifier.test_notifier import sent
from tests.notifier.world import Hook, create_topics, hook, notifying, publish_alerts, transition, until, with_notifier
from tests.read_model.test_acknowledgements import Record
from tests.rules.programs import program

Alert = dict[str, Any]


@contextlib.contextmanager
def alertmanager(directory: Path, port: int, receiver_url: str) -> Iterator[ChildProcess]:
    """An Alertmanager that sends to a webhook what it sends to reps."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "alertmanager.yml"
    config.write_text(render({"reps": receiver_url}))
    command = [program("prometheus-alertmanager"), f"--config.file={config}", f"--storage.path={directory / 'data'}"]
    command += ["--cluster.listen-address=", f"--web.listen-address={LOOPBACK}:{port}"]
    with ChildProcess("Alertmanager", command, directory / "output.log") as process:
        process.wait_ready(lambda: get(port, "/-/ready") is not None, 30.0)
        yield process


def alerts(port: int) -> dict[str, Alert]:
    """What Alertmanager holds as active: annotated request to alert, of those past a deadline."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/api/v2/alerts", timeout=10) as answer:
        found: list[Alert] = json.load(answer)
    past = [alert for alert in found if alert["labels"]["alertname"].startswith("RequestUnanswered")]
    return {alert["annotations"]["request_id"]: alert for alert in past}


def messages(people: Hook, request: str) -> list[str]:
    """The states of a request that Alertmanager sent to people, in order."""
    return [
        alert["status"]
        for message in people.taken
        for alert in message["alerts"]
        if alert["annotations"]["request_id"] == request and alert["labels"]["alertname"].startswith("RequestUnan")
    ]


@pytest.fixture(autouse=True)
def _quick_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell what is active every second, so that a test need not wait for a minute."""
    monkeypatch.setattr(keep_alive, "INTERVAL_SECONDS", 1.0)
    monkeypatch.setattr(keep_alive, "RETRY_PAUSE_SECONDS", 0.2)


@contextlib.asynccontextmanager
async def world(settings: Settings) -> AsyncIterator[tuple[Settings, int, Hook]]:
    """Settings for an Alertmanager on a free port, and the people to whom it sends."""
    program("prometheus-alertmanager")
    port = free_port()
    mine = with_notifier(settings, alertmanager_urls=(f"http://{LOOPBACK}:{port}",))
    create_topics(mine)
    async with hook() as people:
        yield mine, port, people


def test_each_request_is_an_alert_of_its_own_and_resolves_when_it_is_answered(
    settings: Settings, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with world(settings) as (mine, port, people):
            with alertmanager(tmp_path, port, people.url):
                async with notifying(mine):
                    publish_alerts(mine, [transition("r1"), transition("r2"), transition("r3", "at_risk")])
                    await until(lambda: alerts(port).keys() == {"r1", "r2"}, "two alerts")
                    await until(lambda: messages(people, "r1") and messages(people, "r2"), "a message for each")
                    assert alerts(port)["r1"]["labels"]["rep"] == "alice"
                    publish_alerts(mine, [transition("r1", "resolved", 2)])
                    await until(lambda: alerts(port).keys() == {"r2"}, "only the other")
                    await until(lambda: messages(people, "r1") == ["firing", "resolved"], "both messages")
            assert messages(people, "r2") == ["firing"]

    asyncio.run(scenario())


def test_down_for_an_hour_nothing_is_lost_nothing_doubled_and_the_order_is_kept(
    settings: Settings, tmp_path: Path
) -> None:
    """An hour of the clock is five seconds; meanwhile a webhook gets everything that happens."""
    now = datetime.now(UTC)
    clock = ClockSettings(mode="scaled", at=now, wall_origin=now, speed=720.0)
    settings = msgspec.structs.replace(settings, clock=clock)

    async def scenario() -> None:
        async with world(settings) as (one, port, people), hook() as other:
            both = msgspec.structs.replace(one.notifier, webhook_url=other.url)
            mine = msgspec.structs.replace(one, notifier=both)
            hour = Clock(clock)
            async with notifying(mine) as registry:
                began_us = hour.now_us()
                publish_alerts(
                    mine, [transition("gone", "at_risk"), *(transition(f"r{n}", "at_risk") for n in range(40))]
                )
                publish_alerts(mine, [transition("gone"), *(transition(f"r{n}") for n in range(40))])
                await until(lambda: sent(registry, "alertmanager", "failed") >= 3, "three failures")
                publish_alerts(mine, [transition("gone", "resolved", 2)])
                await until(lambda: other.states("gone")[-1:] == ["resolved"], "the webhook, which waits for nobody")
                await until(lambda: hour.now_us() > began_us + HOUR_US, "an hour")
                with alertmanager(tmp_path / "1", port, people.url):
                    await until(lambda: len(alerts(port)) == 40, "all that is active")
                    await until(lambda: all(messages(people, f"r{n}") for n in range(40)), "all messages")
                publish_alerts(mine, [transition(f"r{n}", "resolved", 2) for n in range(10)])
                with alertmanager(tmp_path / "2", port, people.url):  # it has forgotten everything
                    await until(lambda: alerts(port).keys() == {f"r{n}" for n in range(10, 40)}, "the others again")
            assert messages(people, "gone") == []
            assert all(messages(people, f"r{n}")[0] == "firing" for n in range(40))
            assert other.states("gone") == ["at_risk", "fired", "resolved"]
            assert all(other.states(f"r{n}") == ["at_risk", "fired"] for n in range(10, 40))
            assert all(other.states(f"r{n}") == ["at_risk", "fired", "resolved"] for n in range(10))

    asyncio.run(scenario())


def test_a_new_notifier_goes_on_with_what_the_old_one_showed(settings: Settings, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with world(settings) as (mine, port, people):
            with alertmanager(tmp_path / "1", port, people.url):
                async with notifying(mine):
                    publish_alerts(mine, [transition("r1"), transition("r2")])
                    await until(lambda: len(alerts(port)) == 2, "both")
            with alertmanager(tmp_path / "2", port, people.url):
                publish_alerts(mine, [transition("r2", "resolved", 2)])
                async with notifying(mine):
                    await until(lambda: alerts(port).keys() == {"r1"}, "what is still active")

    asyncio.run(scenario())


def test_an_acknowledged_alert_is_taken_out_and_comes_back_when_it_is_released(
    settings: Settings, tmp_path: Path
) -> None:
    async def scenario() -> None:
        async with world(settings) as (mine, port, people):
            redis = connect(mine.redis)
            acks = HoldStore(redis, mine.redis.prefix, Record(), wall_us)
            with alertmanager(tmp_path, port, people.url):
                async with notifying(mine):
                    publish_alerts(mine, [transition("r1"), transition("r2")])
                    await until(lambda: len(alerts(port)) == 2, "both")
                    await acks.acknowledge("c1", "r1", 1, "bob")
                    await until(lambda: alerts(port).keys() == {"r2"}, "only the other")
                    await acks.release("c1", "r1", 1, "bob")
                    await until(lambda: len(alerts(port)) == 2, "both again")
            await redis.close()

    asyncio.run(scenario())
