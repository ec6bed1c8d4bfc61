"""How figures spread: median, 99th percentile, most."""

from collections.abc import Iterable

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """Seconds, and over how many measurements."""

    count: int
    p50: float
    p99: float
    most: float


def spread(seconds: Iterable[float]) -> Spread:
    """By nearest rank; raises ValueError when nothing was measured."""
    ranked = sorted(seconds)
    if not ranked:
        raise ValueError("nothing was measured")
    last = len(ranked) - 1
    return Spread(len(ranked), ranked[last // 2], ranked[min(last, len(ranked) * 99 // 100)], ranked[-1])
