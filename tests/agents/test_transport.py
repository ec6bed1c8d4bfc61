"""What the consumer fetches, and when."""

from types import SimpleNamespace
from typing import Any

from faust.types import TP

from processors.agents.transport import BatchConsumer

SOURCE, JOURNAL = TP("crm.events", 0), TP("journal-changelog", 0)


def consumer(*, rebalancing: bool) -> Any:
    """A consumer of one source partition and its changelog, without a broker."""
    made: Any = BatchConsumer.__new__(BatchConsumer)
    made.app = SimpleNamespace(rebalancing=rebalancing, tables=SimpleNamespace(changelog_topics={JOURNAL.topic}))
    made._active_partitions = {SOURCE, JOURNAL}
    return made


def test_during_a_rebalance_nothing_but_changelogs_is_fetched() -> None:
    assert consumer(rebalancing=True)._get_active_partitions() == {JOURNAL}


def test_after_it_everything_is() -> None:
    assert consumer(rebalancing=False)._get_active_partitions() == {SOURCE, JOURNAL}
