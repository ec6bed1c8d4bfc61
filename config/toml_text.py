"""TOML that may come from anybody: whatever is wrong with it is one ValueError."""

import tomllib
from typing import Any


def parse_toml(text: str) -> dict[str, Any]:
    """The document; raises ValueError, also for what is nested too deep or has numbers of thousands of digits."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("tables or lists are nested too deep") from error
