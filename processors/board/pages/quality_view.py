"""*Data quality*: rejected records as counts and shares, the latest dead letters, and how fresh the data is."""

import msgspec

from processors.board.pages.url_filters import Context, UrlFilters
from processors.board.state.dead_letter_tail import DeadLetterTail
from processors.board.state.store import Store
from processors.core.reports.measures import ratio
from processors.core.time.instants import rfc3339
from processors.core.time.windows import ALL, WINDOWS

MAX_LETTERS_SHOWN = 20


class QualityView:
    """Fills the view."""

    def __init__(self, store: Store, letters: DeadLetterTail) -> None:
        self._store = store
        self._letters = letters

    async def fill(self, _choices: UrlFilters) -> Context:
        """The variables of the template."""
        quality, letters = self._store.quality(), await self._letters.latest()
        reasons = sorted({reason for counts in quality.values() for reason in counts})
        read, examples = self._store.records_read(), self._store.examples()
        return {
            "windows": list(WINDOWS),
            "rows": [
                (
                    reason,
                    [quality[window].get(reason, 0) for window in WINDOWS],
                    ratio(quality[ALL].get(reason, 0), read),
                    examples.get(reason),
                )
                for reason in reasons
            ],
            "read": read,
            "partitions": [
                (partition, published.offset, published.stream_us, rfc3339(max(published.stream_us, 0)))
                for partition, published in sorted(self._store.partitions.items())
            ],
            "letters": msgspec.structs.replace(letters, items=letters.items[:MAX_LETTERS_SHOWN]),
        }
