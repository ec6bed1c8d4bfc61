"""What happens in a campaign and when: decided by its seed before anything starts."""

import random
from typing import NamedTuple

from tests.chaos.faults import BY_GROUP, FAULTS, Fault

MORE_STEPS, PAIRED, HASTY = 3, 0.35, 0.5
"""Steps beyond one of each group; probability of a second fault at the same time; and of going on without a rest."""
LEAST_REST, LONGEST_REST = 1.0, 6.0


class Harm(NamedTuple):
    """A fault, and the number that decides whom it hits."""

    fault: Fault
    choice: float


class Step(NamedTuple):
    """One or two faults that begin together."""

    harms: tuple[Harm, ...]
    hold_seconds: float
    rest_seconds: float | None
    """How long to wait afterwards; None: until everything is whole again."""

    def __str__(self) -> str:
        names = " + ".join(harm.fault.name for harm in self.harms)
        rest = "until whole" if self.rest_seconds is None else f"{self.rest_seconds:.1f} s"
        return f"{names} for {self.hold_seconds:.1f} s, rest {rest}"


def plan(seed: int, *, short: bool) -> list[Step]:
    """The steps of a campaign. A short one has five, of which none lasts long."""
    dice = random.Random(f"chaos/{seed}")
    faults = [dice.choice(group) for group in BY_GROUP.values()]
    if not short:
        faults += dice.choices(FAULTS, k=MORE_STEPS)
    dice.shuffle(faults)
    return [_step(fault, dice, paired=not short) for fault in faults]


def _step(fault: Fault, dice: random.Random, *, paired: bool) -> Step:
    harms = [Harm(fault, dice.random())]
    if paired and dice.random() < PAIRED:
        others = [each for each in FAULTS if each.group != fault.group and not _clash(each, fault)]
        harms.append(Harm(dice.choice(others), dice.random()))
    longest = max(dice.uniform(*harm.fault.hold_seconds) for harm in harms)
    rest = dice.uniform(LEAST_REST, LONGEST_REST) if dice.random() < HASTY else None
    return Step(tuple(harms), longest, rest)


def _clash(one: Fault, other: Fault) -> bool:
    """A worker that is told to end ends in order only while it reaches Kafka."""
    orderly = {"rolling restart", "3 workers, 1, and 3 again"} & {one.name, other.name}
    return bool(orderly and {one.group, other.group} & {"network", "broker"})
