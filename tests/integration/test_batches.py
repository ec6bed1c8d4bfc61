"""Batches of every codec through a running worker, and batches that nobody can read: what follows them counts."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from config.clock import Clock
from config.settings import Settings
from processors.commands.dead_letters import as_json, latest
from processors.commands.verify import verify
from processors.core.time.instants import DAY_US, moment
from processors.kafka.admin import admin_client
from processors.kafka.topics import ensure_topics
from schemas import events as ev
from schemas.codec import encode
from tests.conftest import BROKER
from tests.hostile.wire import CODECS, ENCODERS, RawProducer, Sent, batch, body
from tests.integration.stack import ReadModel, Worker, records, send, wait_until, worker

MEBIBYTE = 1024 * 1024
BOMB_BYTES = 300_000_000
MOST_MEMORY = 500 * MEBIBYTE
"""A worker alone has some 100 MiB, and a batch may become 64."""


def calls(settings: Settings, *names: str) -> list[Sent]:
    """An event of each name, all of one customer."""
    at_us = Clock(settings.clock).now_us() - DAY_US
    return [
        Sent(
            encode(
                ev.ActivityLogged(event_id=name, occurred_at=moment(at_us), customer_id="c1", rep_id="ann", kind="call")
            ),
            b"c1",
        )
        for name in names
    ]


def send_batches(settings: Settings, topic: str, *batches: bytes) -> list[str | None]:
    """Batches onto the first partition of a topic, as they are; gives what the broker says of each."""
    ensure_topics(settings)

    async def send_all() -> list[str | None]:
        async with RawProducer(settings.kafka) as client:
            return [await client.send(topic, 0, raw) for raw in batches]

    return asyncio.run(send_all())


def applied(running: Worker) -> float:
    return running.page().total("salespulse_events_total", type="activity.logged", result="applied")


def letters(settings: Settings) -> list[dict[str, str]]:
    """The headers of all dead letters of batches."""
    found: list[Any] = records(settings, settings.kafka.dead_letters_topic)
    headers = [{name: value.decode() for name, value in letter.headers} for letter in found]
    return [letter for letter in headers if letter["reason"] == "unreadable_batch"]


def test_batches_of_every_codec_count_and_verify_reads_them(settings: Settings, tmp_path: Path) -> None:
    topic = settings.kafka.events_topics[0]
    batches = [batch(body(calls(settings, f"{codec}-1", f"{codec}-2")), 2, codec=codec) for codec in CODECS]
    assert send_batches(settings, topic, *batches) == [None] * len(CODECS)
    reps = [Sent(encode(ev.RepUpdated(rep_id=codec, name=codec)), codec.encode()) for codec in CODECS]
    entries = [batch(body([rep]), 1, codec=codec) for rep, codec in zip(reps, CODECS, strict=True)]
    assert send_batches(settings, settings.kafka.reps_topic, *entries) == [None] * len(CODECS)

    with worker(settings, tmp_path) as running:
        wait_until(lambda: applied(running) == 2 * len(CODECS), "all batches are applied", running)
        wait_until(lambda: len(ReadModel(settings).reps()) == len(CODECS), "all reps are known", running)
        assert verify(settings).is_right
        assert running.process.stop() == 0


@pytest.mark.skipif(BROKER != "kafka", reason="the embedded broker compresses nothing itself")
@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_a_topic_that_compresses_is_read(settings: Settings, tmp_path: Path, codec: str) -> None:
    ensure_topics(settings)
    topic = settings.kafka.events_topics[0]
    with admin_client(settings.kafka) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"compression.type": codec})])
    one, two = calls(settings, "one", "two")
    assert one.value is not None
    assert send_batches(settings, topic, batch(body([one, two]), 2)) == [None]

    with worker(settings, tmp_path) as running:
        wait_until(lambda: applied(running) == 2, "both are applied", running)
        assert verify(settings).is_right


def bomb(codec: str) -> bytes:
    return batch(b"", 1, codec=codec, packed=bytes(ENCODERS[codec](body([Sent(b" " * BOMB_BYTES)]))))


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_bombs_cost_their_offsets_and_no_memory(settings: Settings, tmp_path: Path, codec: str) -> None:
    """Each would be 300 MB. Snappy has none that fits into a message: it packs no tighter than 1 to 20."""
    topic = settings.kafka.events_topics[0]
    one, two = calls(settings, "one", "two")
    one_bomb = bomb(codec)
    sent = [batch(body([one]), 1), *[one_bomb] * 5, batch(body([two]), 1)]
    assert send_batches(settings, topic, *sent) == [None] * len(sent)

    with worker(settings, tmp_path) as running:
        wait_until(lambda: applied(running) == 2, "what is around the bombs counts", running)
        wait_until(lambda: len(letters(settings)) == 5, "each bomb is a dead letter", running)
        process = psutil.Process(running.process.pid)
        assert process.memory_info().rss < MOST_MEMORY
        assert running.page().total("process_resident_memory_bytes") < MOST_MEMORY
        assert running.page().total("salespulse_unreadable_records_total", topic=topic) == 5
        assert verify(settings).is_right
    found = letters(settings)
    assert sorted(letter["offset"] for letter in found) == ["1", "2", "3", "4", "5"]
    assert all(f"{codec}: more than 67108864 bytes" in letter["detail"] for letter in found)


def corrupt(raw: bytes) -> bytes:
    return raw[:-2] + bytes([raw[-2] ^ 0xFF, raw[-1]])


Damage = Callable[[Sequence[Sent]], bytes]

DAMAGES: dict[str, Damage] = {
    "checksum": lambda sent: corrupt(batch(body(sent), len(sent))),
    "zstd": lambda sent: batch(b"", len(sent), codec="zstd", packed=b"garbage" * 9),
    "cut": lambda sent: batch(body(sent)[:-3], len(sent)),
}


@pytest.mark.skipif(BROKER == "kafka", reason="Apache Kafka refuses batches that it cannot read itself")
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_batch_that_cannot_be_read_is_one_dead_letter_also_after_a_restart(
    settings: Settings, tmp_path: Path, kind: str
) -> None:
    topic, reps = settings.kafka.events_topics[0], settings.kafka.reps_topic
    one, two, *lost = calls(settings, "one", "two", "lost-1", "lost-2", "lost-3")
    damaged = DAMAGES[kind](lost)
    assert send_batches(settings, topic, batch(body([one]), 1), damaged) == [None, None]
    assert send_batches(settings, reps, damaged) == [None]

    with worker(settings, tmp_path) as running:
        wait_until(lambda: len(letters(settings)) == 2, "a dead letter of each topic", running)
        assert running.process.stop() == 0
    assert send_batches(settings, topic, batch(body([two]), 1)) == [None]
    with worker(settings, tmp_path) as running:
        wait_until(lambda: ReadModel(settings).position() == 5, "what follows is applied", running)
        assert verify(settings).is_right

    first = 3 if kind == "cut" else 1
    on_events, on_reps = sorted(letters(settings), key=lambda letter: letter["topic"] != topic)
    assert (on_events["partition"], on_events["offset"], on_events["last_offset"]) == ("0", str(first), "3")
    assert (on_reps["topic"], on_reps["last_offset"]) == (reps, "2")
    found, counts = latest(settings, 10, "unreadable_batch")
    assert counts["unreadable_batch"] == 2
    assert '"last_offset": 3' in as_json(found)
    assert ReadModel(settings).quality("unreadable_batch") == 2


@pytest.mark.skipif(BROKER == "kafka", reason="Apache Kafka refuses batches that it cannot read itself")
def test_a_journal_that_cannot_be_read_stops_the_worker_with_the_mend(settings: Settings, tmp_path: Path) -> None:
    (one,) = calls(settings, "one")
    send(settings, [])
    assert send_batches(settings, settings.kafka.events_topics[0], batch(body([one]), 1)) == [None]
    with worker(settings, tmp_path) as running:
        wait_until(lambda: applied(running) == 1, "it is applied", running)
        assert running.process.stop() == 0
    damaged = corrupt(batch(body([one]), 1))
    assert send_batches(settings, settings.kafka.journal_topic, damaged) == [None]

    with worker(settings, tmp_path) as running:
        wait_until(lambda: running.process.exit_code is not None, "it stops")
        assert running.process.exit_code == 1
        assert "of the journal cannot be read (its checksum is wrong)" in running.log()
        assert "set kafka.group to another name" in running.log()
