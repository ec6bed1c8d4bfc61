"""Where two reports differ. Whole numbers, texts and orders are compared exactly, floats to 12 digits."""

import math
from collections.abc import Iterator
from typing import Any

RELATIVE = 1e-12
"""A quotient may be formed in another order of divisions: that moves the last of its 15 to 17 digits."""

SHOWN = 100
"""Characters of a value in a difference."""


def differences(ours: dict[str, Any], oracle: dict[str, Any]) -> list[str]:
    """One line for each difference, `path: ours != oracle`; `events` counts messages, which the oracle does not."""
    return list(_differences("$", {name: value for name, value in ours.items() if name != "events"}, oracle))


def _differences(path: str, ours: Any, oracle: Any) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(oracle, dict):
        for key in sorted(ours.keys() | oracle.keys()):
            yield from _differences(f"{path}.{key}", ours.get(key, "(absent)"), oracle.get(key, "(absent)"))
    elif isinstance(ours, list) and isinstance(oracle, list) and len(ours) == len(oracle):
        for index, (mine, theirs) in enumerate(zip(ours, oracle, strict=True)):
            yield from _differences(f"{path}[{index}]", mine, theirs)
    elif not _equal(ours, oracle):
        yield f"{path}: {_short(ours)} != {_short(oracle)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _equal(ours: Any, oracle: Any) -> bool:
    if isinstance(ours, float) and isinstance(oracle, float):
        return math.isclose(ours, oracle, rel_tol=RELATIVE)
    return type(ours) is type(oracle) and bool(ours == oracle)
