"""Text of customers, reps and CRMs, fit to be printed: what would break a line or turn its letters around is shown."""

import re

_STEERING = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)
"""Control characters, line ends, marks of direction, invisible characters and halves of characters. Those that join
letters (U+200C, U+200D) belong to words and emoji."""


def visible(text: str) -> str:
    """The text with what steers its printing written as Python writes it, a line end as a backslash and n."""
    return _STEERING.sub(lambda found: repr(found[0])[1:-1], text)


def is_path_step(text: str) -> bool:
    """Whether a text is no name in the path of an address, even encoded: browsers go up the path, or nowhere."""
    return text in (".", "..")
