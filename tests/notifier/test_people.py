"""Slack and e-mail: what is held is not sent, the end of a snooze sends it, and a digest comes once per interval."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from config.clock import wall_us
from config.settings import Settings
from config.values import Secret
from processors.core.time.instants import SECOND_US
from processors.kafka.producer import running_producer
from processors.kafka.recorded_topic import RecordedTopic
from processors.notifier.receivers.people_policy import policy_for_people
from processors.read_model.acknowledgements import HoldEvent, HoldStore, TurnKey
from processors.read_model.redis_connection import connect
from tests.notifier.receivers.smtp_server import smtp_server
from tests.notifier.test_notifier import sent, skipped
from tests.notifier.world import (
    create_topics,
    hook,
    notifying,
    publish_alerts,
    records_of,
    transition,
    until,
    with_notifier,
)
from tests.read_model.test_acknowledgements import Record


def slack_settings(settings: Settings, url: str, **keys: Any) -> Settings:
    """Settings with an incoming webhook."""
    mine = with_notifier(settings, slack_url=Secret(url), **keys)
    create_topics(mine)
    return mine


def test_a_snoozed_alert_is_sent_when_the_snooze_ends_and_an_acknowledged_one_never(settings: Settings) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = slack_settings(settings, receiver.url)
            redis = connect(mine.redis)
            acks = HoldStore(redis, mine.redis.prefix, Record(), wall_us)
            await acks.acknowledge("c1", "taken", 1, "bob")
            ends_us = wall_us() + 8 * SECOND_US
            await acks.snooze("c1", "later", 1, "bob", ends_us)
            async with notifying(mine) as registry:
                publish_alerts(mine, [transition("taken"), transition("later"), transition("now")])
                await until(lambda: skipped(registry, "slack", "held") == 2, "two on hold")
                await until(lambda: len(receiver.taken) == 1, "the one that nobody holds")
                assert wall_us() < ends_us
            async with notifying(mine):
                await until(lambda: len(receiver.taken) == 2, "the snoozed one, after a restart")
                assert wall_us() >= ends_us
                publish_alerts(mine, [transition("taken", "resolved", 2), transition("last")])
                await until(lambda: len(receiver.taken) == 3, "the last one")
                await until_gone(acks, TurnKey("c1", "taken", 1))
            texts = [message["text"] for message in receiver.taken]
            assert ["request=now" in texts[0], "request=later" in texts[1], "request=last" in texts[2]] == [True] * 3
            await redis.close()

    asyncio.run(scenario())


async def until_gone(acks: HoldStore, turn: TurnKey) -> None:
    """Return when nothing holds a turn any more."""
    deadline = time.monotonic() + 30
    while turn in await acks.all():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_acknowledgements_are_recorded_on_their_topic(settings: Settings) -> None:
    async def scenario() -> list[Any]:
        mine = with_notifier(settings)
        create_topics(mine)
        redis = connect(mine.redis)
        async with running_producer(mine.kafka) as producer:
            acks = HoldStore(redis, mine.redis.prefix, RecordedTopic(producer, mine.notifier.acks_topic), lambda: 5)
            await acks.acknowledge("c1", "r1", 1, "bob")
            await acks.release("c1", "r1", 1, "ann")
        await redis.close()
        return records_of(mine, mine.notifier.acks_topic)

    records = asyncio.run(scenario())
    assert [record.key for record in records] == [b"c1|r1|1"] * 2
    events = [msgspec.json.decode(record.value, type=HoldEvent) for record in records]
    assert [(event.action, event.by, event.at_us) for event in events] == [
        ("acknowledged", "bob", 5),
        ("released", "ann", 5),
    ]
    assert msgspec.json.decode(records[0].value)["type"] == "request.hold"


def test_without_redis_people_get_alerts_and_holds_stay_as_they_were(settings: Settings) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = slack_settings(settings, receiver.url)
            away = msgspec.structs.replace(mine.redis, url="redis://127.0.0.1:1/0")
            mine = msgspec.structs.replace(mine, redis=away)
            async with notifying(mine) as registry:
                publish_alerts(mine, [transition("r1")])
                await until(lambda: receiver.taken, "the message")
                assert registry.get_sample_value("salespulse_redis_up") == 0

    asyncio.run(scenario())


def test_a_digest_is_at_most_one_message_per_rep_also_across_a_restart(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    interval_seconds = 12.0

    def quick(notifier: Any) -> Any:
        return msgspec.structs.replace(policy_for_people(notifier), digest_seconds=interval_seconds)

    monkeypatch.setattr("processors.notifier.receivers.slack.policy_for_people", quick)

    async def scenario() -> None:
        async with hook() as receiver:
            mine = slack_settings(settings, receiver.url, digest_minutes=1)
            async with notifying(mine) as registry:
                publish_alerts(mine, [transition("a1"), transition("b1", rep_id="bea")])
                await until(lambda: len(receiver.taken) == 2, "one for each rep, at once")
                first = time.monotonic()
                publish_alerts(mine, [transition(f"a{n}") for n in range(2, 30)] + [transition("a2", "resolved", 2)])
                await until(lambda: skipped(registry, "slack", "superseded") == 2, "the one that came and went")
                assert len(receiver.taken) == 2
            async with notifying(mine) as registry:
                await until(lambda: sent(registry, "slack") == 27, "the rest in one message")
                assert time.monotonic() - first > interval_seconds - 2
            assert len(receiver.taken) == 3
            assert receiver.taken[2]["text"].startswith("*requests of alice: 27 waiting*")

    asyncio.run(scenario())


def test_an_e_mail_goes_to_the_rep_and_survives_an_outage(settings: Settings) -> None:
    async def scenario() -> None:
        async with smtp_server() as mailbox:
            mine = with_notifier(
                settings,
                email_host="127.0.0.1",
                email_port=mailbox.port,
                email_security="none",
                email_from="salespulse@example.com",
                email_to="{rep}@{team}.example.com",
            )
            create_topics(mine)
            mailbox.rcpt_answer = "451 later"
            publish_alerts(mine, [transition("r1"), transition("r2", rep_id="no address")])
            async with notifying(mine) as registry:
                await until(lambda: sent(registry, "email", "failed") >= 2, "two failures")
                mailbox.rcpt_answer = "250 ok"
                await until(lambda: mailbox.messages, "the message")
                await until(lambda: sent(registry, "email", "rejected") == 1, "the one without an address")
            assert len(mailbox.messages) == 1
            assert mailbox.recipients[-1] == "alice@east.example.com"

    asyncio.run(scenario())
