"""What the consumer fetches, and when."""

import asyncio
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from processors.agents.transport import REBALANCE_FETCH_TIMEOUT_SECONDS, BatchConsumer

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
