"""What may be logged of an unforeseen exception: its type and where it was raised, but not its text.

The text may hold an address that is a secret, or whatever a customer typed.
"""

from pathlib import Path
from traceback import extract_tb


def type_and_line(error: BaseException) -> str:
    """One line: the exception's type, with the file and line that raised it."""
    frames = extract_tb(error.__traceback__)
    at = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{at}"
