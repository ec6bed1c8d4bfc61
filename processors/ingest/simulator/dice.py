"""Seeded chance in the few shapes that stories need."""

import math
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_DRAWS = 4096


def _standard_normals() -> tuple[float, ...]:
    """Quantiles of the standard normal distribution, drawn once: an index is cheaper than a fresh `gauss`."""
    source = random.Random("salespulse")  # noqa: S311 -- a simulation, no secret
    return tuple(source.gauss(0.0, 1.0) for _ in range(_DRAWS))


_NORMAL = _standard_normals()


class Dice(random.Random):
    """Chance whose outcomes depend on nothing but its seed."""

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, each as likely as it is often in the sequence."""
        return options[int(self.random() * len(options))]

    def around(self, median: float, sigma: float) -> float:
        """A log-normal value: half of them lie below `median`, and a larger `sigma` gives a longer tail."""
        return median * math.exp(sigma * _NORMAL[int(self.random() * _DRAWS)])

    def count(self, mean: float) -> int:
        """A whole number of things, spread around its mean."""
        return int(mean * (0.5 + self.random()) + self.random())
