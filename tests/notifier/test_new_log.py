"""The alerts topic was created again: receivers get what is new in it, and nothing twice."""

import asyncio

import pytest

from config.settings import Settings
from processors.kafka.admin import admin_client
from tests.notifier.world import Hook, create_topics, hook, notifying, publish_alerts, transition, until, with_notifier


def remake_alerts(settings: Settings) -> None:
    with admin_client(settings.kafka) as admin:
        admin.delete_topics([settings.kafka.alerts_topic])
        topic = {"num_partitions": 1, "replication_factor": 1, "configs": {"cleanup.policy": "compact"}}
        admin.create_topics({settings.kafka.alerts_topic: topic})
        admin.wait_for_topics([settings.kafka.alerts_topic], timeout_ms=30_000)


def requests(receiver: Hook) -> list[str]:
    return sorted(message["request_id"] for message in receiver.taken)


@pytest.mark.parametrize("count", [2, 9], ids=["shorter than what was committed", "longer"])
def test_a_topic_created_again_while_the_notifier_was_away_is_sent_from_its_beginning(
    settings: Settings, count: int
) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            async with notifying(mine):
                publish_alerts(mine, [transition(f"old{n}") for n in range(5)])
                await until(lambda: len(receiver.taken) == 5, "the old ones")
            remake_alerts(mine)
            # A worker repeats what is still true: it was asked already.
            publish_alerts(mine, [transition("old0"), *[transition(f"new{n}") for n in range(count)]])
            async with notifying(mine):
                await until(lambda: len(receiver.taken) == 5 + count, "the new ones")
            assert requests(receiver) == sorted([f"old{n}" for n in range(5)] + [f"new{n}" for n in range(count)])
            async with notifying(mine):
                publish_alerts(mine, [transition("last")])
                await until(lambda: "last" in requests(receiver), "the last one")
            assert len(receiver.taken) == 6 + count

    asyncio.run(scenario())


def test_a_topic_created_again_while_the_notifier_runs_is_sent_from_its_beginning(settings: Settings) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            async with notifying(mine):
                publish_alerts(mine, [transition(f"old{n}") for n in range(5)])
                await until(lambda: len(receiver.taken) == 5, "the old ones")
                remake_alerts(mine)
                publish_alerts(mine, [transition(f"new{n}") for n in range(9)])
                await until(lambda: len(receiver.taken) == 14, "the new ones")
            assert requests(receiver) == sorted([f"old{n}" for n in range(5)] + [f"new{n}" for n in range(9)])

    asyncio.run(scenario())
