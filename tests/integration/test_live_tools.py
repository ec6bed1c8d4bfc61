"""`verify` and `dead-letters` against a running broker and Redis."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
import redis

from config.clock import Clock
from config.settings import Settings
from processors.core.directory import directory_of
from processors.core.instants import DAY_US
from processors.core.ledger import Ledger
from processors.core.retention import Retention
from processors.ingest.clients import producer
from processors.ingest.simulate import Simulator
from processors.ingest.topics import ensure_topics
from processors.sinks.read_model import ReadModel
from processors.sinks.redis_client import connect
from processors.tools.dead_letters import latest, replay_mended
from processors.tools.topic import read_topics
from processors.tools.verify import verify
from schemas.codec import decode_event, encode
from schemas.errors import UsageError
from schemas.policy import DEFAULT_POLICY
from schemas.views import Partial


@pytest.fixture
def published(settings: Settings) -> Settings:
    """Ten days of a small team in the topic, and the read model that a worker would have published of it."""
    ensure_topics(settings)
    now_us = Clock(settings.clock).now_us()
    simulator = Simulator(3, now_us - 10 * DAY_US, reps=4)
    topic = settings.kafka.events_topics[0]
    with producer(settings.kafka) as client:
        for entry in simulator.directory():
            client.send(settings.kafka.reps_topic, key=entry.rep_id.encode(), value=encode(entry))
        for key, value in simulator.encoded(now_us):
            client.send(topic, key=key, value=value)
    asyncio.run(_publish(settings, simulator, now_us))
    return settings


async def _publish(settings: Settings, simulator: Simulator, now_us: int) -> None:
    directory = directory_of(DEFAULT_POLICY)
    for entry in simulator.directory():
        directory.put(entry)
    ledgers: dict[str, Ledger] = {}
    for record in read_topics(settings.kafka, settings.kafka.events_topics):
        label = f"{record.topic}/{record.partition}"
        ledger = ledgers.setdefault(label, Ledger(DEFAULT_POLICY, directory, Retention()))
        ledger.apply(decode_event(record.value or b""))
    connection = connect(settings.redis)
    model = ReadModel(connection, settings.redis.prefix)
    for label, ledger in ledgers.items():
        ledger.advance(now_us)
        await model.publish(label, 1, ledger.everything(), whole=True)
    await connection.close()


def test_verify_finds_a_right_read_model_right(published: Settings) -> None:
    result = verify(published)
    assert result.differences == []
    assert result.fields > 50


def test_verify_finds_an_edited_value(published: Settings) -> None:
    with redis.Redis.from_url(published.redis.url) as client:
        (key,) = list(client.keys(f"{published.redis.prefix}:*/0:partials"))
        field, raw = next((f, v) for f, v in client.hgetall(key).items() if f.startswith(b"rep|"))
        partial = msgspec.msgpack.decode(raw, type=Partial)
        partial.responses += 1
        client.hset(key, field, msgspec.msgpack.encode(partial))
    result = verify(published, rounds=2)
    assert [difference.place[2] for difference in result.differences] == [field.decode()]


def test_verify_finds_what_is_missing_and_what_should_not_be_there(published: Settings) -> None:
    with redis.Redis.from_url(published.redis.url) as client:
        key = next(iter(client.keys(f"{published.redis.prefix}:*/1:partials")))
        gone = next(iter(client.hkeys(key)))
        client.hdel(key, gone)
        client.hset(key, "rep|nobody|1", msgspec.msgpack.encode(Partial(won=1)))
    found = {difference.place[2]: difference for difference in verify(published, rounds=2).differences}
    assert set(found) == {gone.decode(), "rep|nobody|1"}
    assert found["rep|nobody|1"].folded is None


def test_dead_letters_are_listed_and_mended_ones_go_back(settings: Settings, tmp_path: Path) -> None:
    ensure_topics(settings)
    headers = [("reason", b"malformed"), ("detail", b"naive"), ("topic", b"t"), ("partition", b"0"), ("offset", b"7")]
    with producer(settings.kafka) as client:
        for number in range(3):
            client.send(settings.kafka.dead_letters_topic, value=b"%d" % number, headers=headers)
        client.send(settings.kafka.dead_letters_topic, value=b"x", headers=[("reason", b"conflict")])
    letters, counts = latest(settings, 2, "malformed")
    assert [letter.value for letter in letters] == [b"1", b"2"]
    assert counts == {"malformed": 3, "conflict": 1}
    mended = tmp_path / "mended.jsonl"
    event = {
        "type": "request.assigned",
        "request_id": "r",
        "event_id": "e",
        "occurred_at": "2026-03-02T08:00:00Z",
        "customer_id": "c",
    }
    mended.write_text(json.dumps(event) + "\n")
    assert replay_mended(settings, str(mended)) == 1
    ((record),) = list(read_topics(settings.kafka, settings.kafka.events_topics))
    assert (record.key, json.loads(record.value or b"")) == (b"c", event)


def test_with_one_bad_line_nothing_is_sent_back(settings: Settings, tmp_path: Path) -> None:
    ensure_topics(settings)
    mended = tmp_path / "mended.jsonl"
    mended.write_text("{}\n")
    with pytest.raises(UsageError, match=r"mended.jsonl:1: .*nothing was sent"):
        replay_mended(settings, str(mended))
    assert list(read_topics(settings.kafka, settings.kafka.events_topics)) == []
