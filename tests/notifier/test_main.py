"""The notifier as a process: what it needs, how it stops, and how two of them share the work."""

import asyncio
import signal
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.clock import Clock
from config.notifier_settings import NotifierSettings
from config.settings import ClockSettings, Settings, load_settings
from config.values import Secret
from processors.dev.metrics_page import get
from processors.dev.process import free_port
from processors.kafka.producer import producer
from processors.notifier.main import run_notifier
from processors.notifier.receivers.configured import configured_receivers
from schemas.errors import ConfigError, Unavailable
from tests.notifier.world import (
    create_topics,
    hook,
    publish_alerts,
    records_of,
    started,
    transition,
    until,
    with_notifier,
)


def test_without_a_receiver_it_refuses_to_start() -> None:
    with pytest.raises(
        ConfigError, match=r"no receiver is configured.*alertmanager_urls, webhook_url, slack_url_file, email_host"
    ):
        run_notifier(Settings())


def test_every_address_switches_its_receiver_on() -> None:
    settings = NotifierSettings(
        alertmanager_urls=("http://a:9093", "http://b:9093/"),
        webhook_url="http://hook",
        slack_url=Secret("https://slack"),
        email_host="mail",
        email_from="a@b",
        email_to="c@d",
        digest_minutes=5,
    )
    receivers = configured_receivers(settings, Clock(ClockSettings()))
    assert [receiver.name for receiver in receivers] == [
        "alertmanager",
        "alertmanager-2",
        "webhook",
        "slack",
        "email",
    ]
    assert [receiver.policy.digest_seconds for receiver in receivers] == [0, 0, 0, 300, 300]


def test_a_slack_file_that_holds_no_address_is_reported_without_what_it_holds() -> None:
    with pytest.raises(ConfigError, match=r"notifier\.slack_url_file") as caught:
        configured_receivers(NotifierSettings(slack_url=Secret("hush")), Clock(ClockSettings()))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        ({"WEBHOOK_URL": "ftp://x"}, "SALESPULSE_NOTIFIER__WEBHOOK_URL"),
        ({"WEBHOOK_URL": "http://me:word@x"}, "SALESPULSE_NOTIFIER__WEBHOOK_URL"),
        ({"WEBHOOK_SECRET": "word"}, "notifier.webhook_url"),
        ({"EMAIL_HOST": "mail"}, "notifier.email_from"),
        ({"EMAIL_USERNAME": "me"}, "notifier.email_username"),
        ({"TELL": "fired,shouted"}, "SALESPULSE_NOTIFIER__TELL"),
        ({"ACKS_TOPIC": "crm.events"}, "crm.events"),
        ({"EMAIL_USERNAME": "me", "EMAIL_PASSWORD": "word", "EMAIL_SECURITY": "none"}, "notifier.email_security"),
    ],
)
def test_settings_that_cannot_be_are_named(keys: dict[str, str], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong) as caught:
        load_settings(None, {f"SALESPULSE_NOTIFIER__{key}": value for key, value in keys.items()})
    assert "word" not in str(caught.value).replace("password", "")


def test_a_taken_port_and_missing_topics_are_reported_in_one_line(settings: Settings) -> None:
    mine = with_notifier(settings, webhook_url="http://127.0.0.1:1/")
    with pytest.raises(Unavailable, match=r"has no topic .*`salespulse topics` creates them"):
        run_notifier(mine)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        notifier = msgspec.structs.replace(mine.notifier, metrics_port=taken.getsockname()[1])
        with pytest.raises(Unavailable, match=r"notifier\.metrics_port: .* choose another"):
            run_notifier(msgspec.structs.replace(mine, notifier=notifier))


def test_it_serves_its_metrics_and_stops_in_good_order_on_a_signal(settings: Settings, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            port = free_port()
            mine = msgspec.structs.replace(mine, notifier=msgspec.structs.replace(mine.notifier, metrics_port=port))
            create_topics(mine)
            publish_alerts(mine, [transition("r1")])
            with started(mine, tmp_path) as notifier:
                await until(lambda: receiver.taken or notifier.exit_code is not None, "the message")
                notifier.raise_if_ended()
                page = await asyncio.to_thread(get, port, "/metrics") or ""
                assert 'salespulse_notifications_total{receiver="webhook",result="sent"} 1.0' in page
                assert 'salespulse_notifications_total{receiver="webhook",result="rejected"} 0.0' in page
                assert "salespulse_redis_up 1.0" in page
                notifier.send(signal.SIGHUP)
                await until(lambda: "SIGHUP: nothing changes" in notifier.log_tail(), "the line about SIGHUP")
                assert await asyncio.to_thread(notifier.stop) == 0
                assert "Traceback" not in notifier.log_tail()

    asyncio.run(scenario())


def test_a_second_one_joins_and_takes_over_without_sending_again(settings: Settings, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine, partitions=4)
            publish_alerts(mine, [transition(f"a{n}") for n in range(100)])
            with started(mine, tmp_path, 1) as first:
                await until(lambda: len(receiver.taken) >= 50 or first.exit_code is not None, "some by the first")
                with started(mine, tmp_path, 2) as second:
                    for number in range(10):
                        publish_alerts(mine, [transition(f"b{number}-{n}") for n in range(20)])
                        wanted = 100 + 20 * (number + 1)
                        await until(lambda: len(receiver.taken) >= wanted, "all so far")  # noqa: B023
                    first.send(signal.SIGTERM)
                    await until(lambda: first.exit_code is not None, "the end of the first")
                    publish_alerts(mine, [transition(f"c{n}") for n in range(100)])
                    await until(lambda: len(receiver.taken) >= 400, "all by the second")
                    second.raise_if_ended()
            keys = [message["key"] for message in receiver.taken]
            assert len(keys) == len(set(keys)) == 400

    asyncio.run(scenario())


def test_a_record_that_is_no_transition_goes_to_the_dead_letters(settings: Settings, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with hook() as receiver:
            mine = with_notifier(settings, webhook_url=receiver.url)
            create_topics(mine)
            with producer(mine.kafka) as sender:
                deep = b'{"more": ' + b"[" * 5000 + b"]" * 5000 + b"}"
                bad: list[Any] = [b"{", b'{"alert_id": 1}', b"\xff", deep, None]
                for value in bad:
                    sender.send(mine.kafka.alerts_topic, value, key=b"k")
            publish_alerts(mine, [transition("good")])
            with started(mine, tmp_path) as notifier:
                await until(lambda: receiver.taken or notifier.exit_code is not None, "the good one")
                assert await asyncio.to_thread(notifier.stop) == 0
            letters = records_of(mine, mine.notifier.dead_letters_topic)
            assert [letter.value for letter in letters] == bad[:4]
            assert {dict(letter.headers)["reason"] for letter in letters} == {b"malformed"}

    asyncio.run(scenario())
