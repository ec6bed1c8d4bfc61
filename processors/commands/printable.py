"""What came from outside, fit for a terminal: no styles of Rich, and no characters that would steer the terminal."""

from rich.markup import escape


def printable(text: str) -> str:
    """The text without markup, and with control characters and the like as Python writes them."""
    return escape("".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text))
