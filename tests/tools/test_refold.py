"""The topics folded again: what the workers noted of refused entries of the directory is noted here as well, once."""

from collections.abc import Sequence

import msgspec
import pytest

from config.settings import Settings
from processors.tools.refold import Refold
from processors.tools.topic import TopicRecord
from tests.agents.workbench import CLOCK_US

DAY = 20_500
AT_MS = DAY * 86_400_000 + 7
ENTRY = TopicRecord("crm.reps", 1, 3, b"ann", b"{", {}, AT_MS)
HEADERS = {
    "reason": "malformed",
    "topic": "crm.reps",
    "partition": "1",
    "offset": "3",
    "timestamp_ms": str(AT_MS),
}
LETTER = TopicRecord("crm.dead-letters", 0, 9, b"ann", b"{", HEADERS, AT_MS + 86_400_000)


@pytest.mark.parametrize(
    "records",
    [(ENTRY,), (LETTER,), (ENTRY, LETTER), (LETTER, ENTRY, LETTER)],
    ids=["before its letter is written", "after compaction", "with both", "said again after a crash"],
)
def test_a_refused_entry_of_the_directory_counts_once_on_the_day_on_which_it_came(
    records: Sequence[TopicRecord],
) -> None:
    refold = Refold(Settings())

    for record in records:
        if record is LETTER:
            refold.leave_out(record)
        else:
            refold.take(record)
    refold.finish_reading()

    quality = {place: value for place, value in refold.fields(CLOCK_US).items() if place[1] == "quality"}
    assert quality == {("crm.events/0", "quality", str(DAY)): msgspec.msgpack.encode({"malformed": 1})}
