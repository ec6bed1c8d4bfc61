"""Publishing: everything after an assignment, changes from then on, and everything again when in doubt."""

import asyncio
import logging
import math
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from processors.agents import publishing
from processors.agents.lease import Lease
from processors.agents.ownership import Ownership
from processors.agents.publishing import Publisher
from processors.read_model.writer import ReadModelWriter
from schemas.views import Changes
from tests.agents.workbench import CLOCK_US, DIRECTORY, IntakeHarness, MemoryReadModel
from tests.read_model.followed_view import PREFIX, connection
from tests.story import activity, rep


class Press:
    """A publisher over one open partition, without pauses between attempts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for pause in ("RETRY_SECONDS", "HEARTBEAT_SECONDS", "HISTORY_INTERVAL_SECONDS"):
            monkeypatch.setattr(publishing, pause, 0.0)
        self.harness = IntakeHarness()
        self.harness.partition.caught_up = True
        self.read_model = MemoryReadModel()
        self.publisher = Publisher(
            self.harness.partitions, DIRECTORY, self.read_model, self.harness.metrics, self.harness.ownership
        )

    def publish(self) -> None:
        """Until a claim is made, if there is one to make."""
        asyncio.run(self.publisher.publish())
        if self.read_model.announced:
            asyncio.run(self.publisher.publish())


@pytest.fixture
def press(monkeypatch: pytest.MonkeyPatch) -> Press:
    return Press(monkeypatch)


def test_everything_first_then_changes(press: Press) -> None:
    press.harness.apply(activity(1))
    press.publish()
    press.harness.apply(activity(2, "bob"))
    press.publish()

    (_, first, whole, is_whole), (_, second, changes, is_second_whole) = press.read_model.published
    assert (first, is_whole) == (1, True)
    assert (second, is_second_whole) == (2, False)
    assert all("alice" in field or "|" in field for field in whole.puts["partials"])
    assert not any("alice" in field for field in changes.puts["partials"])


def test_between_two_portions_the_intake_goes_on_and_nothing_is_missed(
    press: Press, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "MAX_PORTION_FIELDS", 2)
    for number in range(6):
        press.harness.apply(activity(number, f"rep{number}"))
    ledger, sizes = press.harness.partition.ledger, []

    class Watched:
        """The ledger, but facts arrive between its portions."""

        stream_us = ledger.stream_us

        def mark_everything(self) -> None:
            ledger.mark_everything()

        def drain_portions(self, max_records: int) -> Iterator[Changes]:
            for changes in ledger.drain_portions(max_records):
                yield changes
                sizes.append(sum(map(len, changes.puts.values())))
                ledger.apply(activity(7, f"rep{len(sizes)}"))

    renewing: Any = Watched()
    press.harness.partition.ledger = renewing
    press.publish()
    press.harness.partition.ledger = ledger
    press.publish()

    assert len(sizes) > 3
    assert max(sizes) <= 2
    (_, _, whole, _), (_, _, changes, is_whole) = press.read_model.published
    assert not is_whole
    assert {**whole.puts["partials"], **changes.puts["partials"]} == ledger.everything().puts["partials"]


def test_an_emptied_read_model_gets_everything_again_even_without_news(press: Press) -> None:
    press.harness.apply(activity(1))
    press.publish()
    press.read_model.empty()

    press.publish()
    press.publish()

    assert press.read_model.wholes() == ["crm.events/0"]


def test_while_the_read_model_is_away_nothing_is_lost(press: Press, caplog: pytest.LogCaptureFixture) -> None:
    press.harness.apply(activity(1))
    press.publish()
    press.read_model.up = False
    for minute in (2, 3):
        press.harness.apply(activity(minute, "bob"))
        press.publish()
    assert press.harness.value("salespulse_redis_up") == 0

    press.read_model.up = True
    press.publish()

    assert press.read_model.published[-1][1:] == (3, press.harness.partition.ledger.everything(), True)
    assert press.harness.value("salespulse_redis_up") == 1
    assert caplog.text.count("going on without the read model") == 1


def test_only_an_answer_says_that_the_read_model_is_back(
    press: Press, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(publishing, "RETRY_SECONDS", 3600.0)
    press.read_model.up = False

    press.publish()
    press.publish()

    assert press.harness.value("salespulse_redis_up") == 0
    assert "answers again" not in caplog.text


def test_a_worker_without_partitions_says_nothing_of_the_read_model(press: Press) -> None:
    press.publish()
    assert press.harness.value("salespulse_redis_up") == 1

    press.read_model.up = False
    press.harness.partitions.assign([], generation=2)
    press.publish()
    assert math.isnan(press.harness.value("salespulse_redis_up"))


@pytest.mark.parametrize(("age_us", "published"), [(1_000_000, 2), (3_600_000_000, 1)])
def test_while_records_wait_news_are_published_at_once_and_history_now_and_then(
    press: Press, monkeypatch: pytest.MonkeyPatch, age_us: int, published: int
) -> None:
    monkeypatch.setattr(publishing, "HISTORY_INTERVAL_SECONDS", 3600.0)
    ledger = press.harness.partition.ledger
    for minute in (1, 2):
        press.harness.apply(activity(minute))
        press.harness.partition.caught_up = False
        ledger.set_clock(ledger.stream_us + age_us)
        press.publish()
    assert len(press.read_model.published) == published


def test_a_newer_state_is_left_alone_until_ours_has_passed_it(press: Press) -> None:
    press.harness.partition.caught_up = False
    press.read_model.fences["crm.events/0"] = 2
    press.harness.apply(activity(1))
    press.publish()
    assert press.read_model.published == []

    press.harness.apply(activity(2))
    press.publish()

    assert press.read_model.wholes() == ["crm.events/0"]


def test_a_fence_beyond_the_end_of_the_topic_is_from_a_topic_that_is_gone(
    press: Press, caplog: pytest.LogCaptureFixture
) -> None:
    press.read_model.fences["crm.events/0"] = 900
    press.harness.apply(activity(1))

    press.publish()

    assert press.read_model.fences["crm.events/0"] == 1
    assert "made anew" in caplog.text


@pytest.mark.parametrize(
    ("published_by", "read_by", "end"),
    [("ids", "ids", 1), ("other", "ids", 900), ("other", None, 1), ("other", "ids", None), ("", "", 900)],
    ids=["the same topics", "an end that goes further", "no ids told", "no end told", "without ids, far end"],
)
def test_a_fence_beyond_the_end_stays_unless_the_broker_says_that_the_topic_is_another(
    press: Press, caplog: pytest.LogCaptureFixture, published_by: str, read_by: str | None, end: int | None
) -> None:
    label = press.harness.partition.label
    press.read_model.fences[label], press.read_model.logs[label] = 900, published_by
    press.harness.apply(activity(1))
    press.publish()
    press.read_model.fences[label] = 900
    press.harness.partition.ledger.mark_everything()
    press.read_model.published.clear()
    press.read_model.known.clear()
    press.harness.logs.ids, press.harness.logs.ends[0] = read_by, end

    press.publish()
    press.publish()

    assert press.read_model.fences[label] == 900
    assert press.read_model.published == []
    assert caplog.text.count("the read model stays as it is") <= 1


def test_without_a_lease_nothing_is_asked_or_published(press: Press) -> None:
    press.harness.apply(activity(1))
    press.harness.lease.silent = True
    press.publisher.add_changed_reps({"zoe": 4})

    press.publish()

    assert press.read_model.asked == 0
    press.harness.lease.silent = False
    press.publish()
    assert press.read_model.wholes() == ["crm.events/0"]


def test_a_claim_waits_until_the_coordinator_has_confirmed_it(press: Press) -> None:
    lease = Lease(6.0)
    press.publisher = Publisher(
        press.harness.partitions,
        DIRECTORY,
        press.read_model,
        press.harness.metrics,
        Ownership(lease, press.harness.logs),
    )
    lease.renew(lease.now())
    press.harness.apply(activity(1))

    press.publish()
    press.publish()
    assert press.read_model.announced == {"crm.events/0": 1}
    assert press.read_model.published == []

    lease.renew(lease.now())
    press.publish()
    assert press.read_model.wholes() == ["crm.events/0"]


def test_a_partition_that_is_not_claimed_in_the_changelog_is_not_announced(press: Press) -> None:
    press.harness.partition.epoch = None
    press.publish()
    assert press.read_model.asked == 0


def test_an_owner_that_a_newer_one_has_overtaken_must_claim_anew(press: Press) -> None:
    press.harness.apply(activity(1))
    press.publish()
    press.read_model.epochs["crm.events/0"] = 2
    press.harness.apply(activity(2))

    press.publish()

    assert press.harness.partition.epoch is None
    assert len(press.read_model.published) == 1
    press.harness.partition.epoch = 3
    press.publish()
    assert press.read_model.wholes() == ["crm.events/0"] * 2


def test_a_partition_that_returns_is_published_whole(press: Press) -> None:
    press.harness.apply(activity(1))
    press.publish()
    press.harness.partitions.assign([0], generation=9)
    fresh = press.harness.partitions.get(0)
    assert fresh is not None
    fresh.begin(CLOCK_US)
    fresh.epoch = 2
    fresh.next_offsets = {"crm.events": 5}

    press.publish()

    assert press.read_model.wholes() == ["crm.events/0"] * 2


def test_directory_entries_are_written_until_they_are_there(press: Press) -> None:
    DIRECTORY.put(rep("zoe", "north"))
    press.publisher.add_changed_reps({"zoe": 4})
    press.read_model.up = False
    press.publish()
    assert press.read_model.reps == {}

    press.read_model.up = True
    press.publish()
    assert press.read_model.reps == {"zoe": 4}

    DIRECTORY.remove("zoe")
    press.publisher.add_changed_reps({"zoe": 5})
    press.publish()
    assert press.read_model.reps == {}


REFUSALS = {"a replica": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"), "full": ("maxmemory 1", "maxmemory 0")}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_redis_that_is_read_and_not_written_is_down_until_something_is_written_and_is_logged_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refusal: str
) -> None:
    caplog.set_level(logging.INFO)
    press = Press(monkeypatch)
    press.harness.apply(activity(1))
    begin, end = (line.split() if "REPLICA" in line else ["CONFIG", "SET", *line.split()] for line in REFUSALS[refusal])

    async def run() -> list[float]:
        model = ReadModelWriter(connection(redis_url), PREFIX)
        harness = press.harness
        publisher, seen = Publisher(harness.partitions, DIRECTORY, model, harness.metrics, harness.ownership), []
        for _ in range(3):  # announced, confirmed, claimed
            await publisher.publish()
        with redis.Redis.from_url(redis_url) as server:
            try:
                for commands in ((), begin, end):
                    if commands:
                        server.execute_command(*commands)
                    for _ in range(8):
                        await publisher.publish()
                        seen.append(press.harness.value("salespulse_redis_up"))
            finally:
                server.execute_command(*end)
                await model.close()
        return seen

    seen = asyncio.run(run())
    assert seen == [1.0] * 8 + [0.0] * 8 + [1.0] * 8
    directory_reported_to = [record.levelname for record in caplog.records if record.name == publishing.__name__]
    assert directory_reported_to == ["WARNING", "INFO"]


def test_one_partition_that_cannot_be_written_is_not_hidden_by_others_that_are(
    press: Press, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    press.harness.partitions.assign([0, 1], generation=2)
    for number in (0, 1):
        partition = press.harness.partitions.get(number)
        assert partition is not None
        partition.begin(CLOCK_US)
        partition.caught_up = True
    press.read_model.refused = {"crm.events/0"}
    for _ in range(6):
        press.publish()
        assert press.harness.value("salespulse_redis_up") == 0
    press.read_model.refused = set()
    press.publish()
    assert press.harness.value("salespulse_redis_up") == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
