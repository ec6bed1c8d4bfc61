"""What the consumer fetches, and when."""

import asyncio
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from processors.agents.fetching import Fetched, drain
from processors.agents.transport import REBALANCE_FETCH_TIMEOUT_SECONDS, BatchConsumer, FetchablePartitions
from tests.agents.test_fetching import PARTITION, Fetching, wire_batch

SOURCE, JOURNAL = TP("crm.events", 0), TP("journal-changelog", 0)


def asked(*, rebalancing: bool) -> tuple[set[TP], float]:
    """What a consumer of one source partition and its changelog asks of its thread, which answers nothing."""
    calls: list[tuple[set[TP], float]] = []

    async def getmany(active: set[TP], timeout: float) -> dict[TP, Any]:
        calls.append((active, timeout))
        return {}

    made: Any = BatchConsumer.__new__(BatchConsumer)
    made.app = SimpleNamespace(rebalancing=rebalancing, tables=SimpleNamespace(changelog_topics={JOURNAL.topic}))
    made._thread = SimpleNamespace(getmany=getmany)
    assert asyncio.run(made._getmany({SOURCE, JOURNAL}, 1.0)) == {}
    (call,) = calls
    return call


def test_during_a_rebalance_nothing_but_changelogs_is_fetched() -> None:
    assert asked(rebalancing=True) == ({JOURNAL}, REBALANCE_FETCH_TIMEOUT_SECONDS)


def test_after_it_everything_is() -> None:
    assert asked(rebalancing=False) == ({SOURCE, JOURNAL}, 1.0)


def test_a_fetch_that_began_before_a_rebalance_takes_nothing_of_the_sources_in_it() -> None:
    """Its records would be in the queues that Faust empties at the end of the rebalance, after it has sought."""
    fetching, app = Fetching(), SimpleNamespace(rebalancing=False)
    wanted = FetchablePartitions({PARTITION}, SimpleNamespace(app=app, _is_changelog_tp=lambda _tp: False))

    async def scene() -> dict[TP, Fetched]:
        fetcher: Any = fetching
        fetch = asyncio.create_task(drain(fetcher, wanted, 30.0, 100))
        while fetching.waiter is None:
            await asyncio.sleep(0)
        app.rebalancing = True
        fetching.put(wire_batch(3, 2), start=3)
        first, fetching.waiter = fetching.waiter, None
        first.set_result(None)
        while fetching.waiter is None:
            await asyncio.sleep(0)
        app.rebalancing = False
        fetching.waiter.set_result(None)
        assert PARTITION in fetching._records
        return await fetch

    assert [(fetched.start, fetched.end) for fetched in asyncio.run(scene()).values()] == [(3, 5)]


def test_changelogs_are_wanted_in_a_rebalance_too() -> None:
    app = SimpleNamespace(rebalancing=True)
    wanted = FetchablePartitions({SOURCE, JOURNAL}, SimpleNamespace(app=app, _is_changelog_tp=lambda tp: tp == JOURNAL))
    assert [tp in wanted for tp in (SOURCE, JOURNAL)] == [False, True]
    app.rebalancing = False
    assert [tp in wanted for tp in (SOURCE, JOURNAL, PARTITION)] == [True, True, False]
