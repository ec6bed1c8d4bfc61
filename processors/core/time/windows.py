"""Windows: which local days a number covers.

A window reaches to the present and is open at that end: it covers every day from its first one on.
"""

from collections.abc import Mapping

ALL = "all"

WINDOWS: Mapping[str, int | None] = {"today": 1, "7d": 7, "30d": 30, "90d": 90, "365d": 365, ALL: None}
"""Window to its length in days, today included, from the shortest to the longest; None: no beginning."""


def window_start(window: str, today: int) -> int | None:
    """The first day of a window, in days since 1970 like `today`; None: it has no beginning. Raises KeyError."""
    length = WINDOWS[window]
    return None if length is None else today - length + 1


def in_window(window: str, today: int, day: int) -> bool:
    """Whether a day lies in a window."""
    start = window_start(window, today)
    return start is None or day >= start
