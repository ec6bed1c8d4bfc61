"""The notifier on a real broker and a real Redis: alerts are sent once, in order, and no receiver waits for another."""

import asyncio
import random
import signal
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from config.settings import Settings
from processors.dev.broker import EmbeddedBroker, embedded_broker
from tests.notifier.world import (
    create_topics,
    hook,
    notifying,
    publish_alerts,
    records_of,
    started,
    transition,
    until,
    with_notifier,
)


def sent(registry: CollectorRegistry, receiver: str, result: str = "sent") -> float:
    """How many notifications had this result."""
    labels = {"receiver": receiver, "result": result}
    return registry.get_sample_value("salespulse_notifications_total", labels) or 0.0


def skipped(registry: CollectorRegistry, receiver: str, reason: str) -> float:
    """How many transitions were not sent for this reason."""
    labels = {"receiver": receiver, "reason": reason}
    return registry.get_sample_value("salespulse_notifications_skipped_total", labels) or 0.0


def test_every_transition_reaches_the_webhook_once_and_in_order(settings: Settings) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            async with notifying(mine) as registry:
                publish_alerts(
                    mine, [transition("r1", "at_risk"), transition("r2", "fired"), transition("r1", "fired")]
                )
                publish_alerts(
                    mine, [transition("r1", "fired"), transition("r1", "resolved", 2), transition("r1", "at_risk")]
                )
                await until(lambda: receiver.states("r1") == ["at_risk", "fired", "resolved"], "three states")
                await until(lambda: skipped(registry, "webhook", "duplicate") == 2, "two repetitions")
            assert receiver.states("r2") == ["fired"]
            assert len(receiver.seen) == 4

    asyncio.run(scenario())


def test_a_receiver_that_was_down_gets_everything_once_and_in_order(settings: Settings) -> None:
    async def scenario() -> None:
        up = False
        async with hook(lambda _: 200 if up else random.choice([500, 503, 429, 408])) as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url, queue_limit=50)
            create_topics(mine)
            steps = [transition(f"r{n}", state, 2) for state in ("at_risk", "fired", "resolved") for n in range(100)]
            publish_alerts(mine, steps)
            async with notifying(mine) as registry:
                await until(lambda: sent(registry, "webhook", "failed") >= 3, "three failures")
                assert not receiver.taken
                up = True
                await until(lambda: len(receiver.taken) >= 300, "all transitions")
            for n in range(100):
                assert receiver.states(f"r{n}") == ["at_risk", "fired", "resolved"]

    asyncio.run(scenario())


def test_a_receiver_that_hangs_delays_no_other(settings: Settings) -> None:
    async def scenario() -> None:
        forever = asyncio.Event()

        async def hang(_: dict[str, Any]) -> int:
            await forever.wait()
            return 200

        async with hook(hang) as hanging, hook() as quick:
            mine = with_notifier(
                settings, webhook_url=quick.url, alertmanager_urls=(hanging.url,), timeout_seconds=30.0
            )
            create_topics(mine)
            publish_alerts(mine, [transition("r0")])
            async with notifying(mine):
                await until(lambda: hanging.seen and quick.taken, "the first of both")
                publish_alerts(mine, [transition(f"r{n}") for n in range(1, 50)])
                await until(lambda: len(quick.taken) == 50, "all of the quick one", 5)
                assert len(hanging.seen) == 1
                forever.set()

    asyncio.run(scenario())


def test_killed_at_any_moment_it_sends_nothing_twice_but_the_round_under_way(
    settings: Settings, tmp_path: Path
) -> None:
    rounds, each = 2, 300

    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            for number in range(rounds):
                publish_alerts(mine, [transition(f"r{number}-{n}") for n in range(each)])
                with started(mine, tmp_path, number) as notifier:
                    wanted = number * each + random.randint(1, each - 1)
                    await until(lambda: len(receiver.taken) >= wanted or notifier.exit_code is not None, "some")  # noqa: B023
                    notifier.raise_if_ended()
                    notifier.kill()
            with started(mine, tmp_path, rounds) as notifier:
                await until(lambda: len({message["key"] for message in receiver.taken}) == rounds * each, "all")
                notifier.raise_if_ended()
                publish_alerts(mine, [transition(f"r{number}-{n}") for number in range(rounds) for n in range(each)])
                publish_alerts(mine, [transition("last")])
                await until(lambda: receiver.states("last"), "what came after the repetitions")
            keys = [message["key"] for message in receiver.taken]
            assert len(keys) - len(set(keys)) <= rounds * 16

    asyncio.run(scenario())


def test_a_restart_in_good_order_repeats_nothing(settings: Settings) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            for number in range(3):
                publish_alerts(mine, [transition(f"r{number}-{n}") for n in range(20)])
                async with notifying(mine):
                    await until(lambda: len(receiver.taken) >= (number + 1) * 20, "this round's")  # noqa: B023
            publish_alerts(mine, [transition("r0-0", "resolved", 2)])
            async with notifying(mine):
                await until(lambda: receiver.states("r0-0") == ["fired", "resolved"], "the end of an early one")
            assert len(receiver.seen) == 61

    asyncio.run(scenario())


def test_what_a_receiver_refuses_goes_to_the_dead_letters_and_the_rest_goes_on(settings: Settings) -> None:
    async def scenario() -> None:
        async with hook(lambda message: 422 if message["request_id"] == "bad" else 200) as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            publish_alerts(mine, [transition("bad"), transition("good"), transition("bad", "resolved", 2)])
            async with notifying(mine) as registry:
                await until(lambda: sent(registry, "webhook", "rejected") == 2, "two refusals")
                await until(lambda: receiver.states("good"), "the good one")
            letters = records_of(mine, mine.notifier.dead_letters_topic)
            assert [msgspec.json.decode(letter.value)["state"] for letter in letters] == ["fired", "resolved"]
            headers = dict(letters[0].headers)
            assert headers["receiver"] == b"webhook"
            assert headers["reason"] == b"rejected"
            assert headers["detail"].startswith(b"422")
            assert (headers["partition"], headers["offset"]) == (b"0", b"0")

    asyncio.run(scenario())


def test_a_new_receiver_gets_alerts_from_now_on(settings: Settings) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            yesterday = transition("old").opened_us - 86_400_000_000
            publish_alerts(mine, [transition("old", opened_us=yesterday), transition("new")])
            async with notifying(mine):
                await until(lambda: receiver.states("new"), "the new one")
                publish_alerts(mine, [transition("old", "resolved", 2, opened_us=yesterday)])
                await until(lambda: receiver.states("old") == ["resolved"], "what happens to the old one from now on")

    asyncio.run(scenario())


def test_it_shows_that_kafka_is_away_and_goes_on_when_it_is_back(settings: Settings, tmp_path: Path) -> None:
    async def scenario(broker: EmbeddedBroker) -> None:
        kafka = msgspec.structs.replace(settings.kafka, bootstrap=broker.bootstrap)
        async with hook() as receiver:
            mine = with_notifier(msgspec.structs.replace(settings, kafka=kafka), webhook_url=receiver.url)
            await asyncio.to_thread(create_topics, mine)
            async with notifying(mine) as registry:
                await until(lambda: registry.get_sample_value("salespulse_kafka_up") == 1, "Kafka answers")
                broker.process.send(signal.SIGSTOP)
                await until(lambda: registry.get_sample_value("salespulse_kafka_up") == 0, "Kafka is away")

                broker.process.send(signal.SIGCONT)
                await until(lambda: registry.get_sample_value("salespulse_kafka_up") == 1, "Kafka is back")
                await asyncio.to_thread(publish_alerts, mine, [transition("r1")])
                await until(lambda: receiver.taken, "the message")

    with embedded_broker(tmp_path) as broker:
        asyncio.run(scenario(broker))
