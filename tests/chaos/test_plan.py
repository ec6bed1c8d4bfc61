"""A seed decides the plan; a plan has something of every kind."""

from tests.chaos.faults import BY_GROUP, FAULTS
from tests.chaos.plan import plan


def test_the_same_seed_gives_the_same_plan() -> None:
    assert plan(7, short=False) == plan(7, short=False)
    assert plan(7, short=False) != plan(8, short=False)


def test_every_plan_has_a_fault_of_every_group() -> None:
    for seed in range(50):
        for short in (True, False):
            groups = {harm.fault.group for step in plan(seed, short=short) for harm in step.harms}
            assert groups == set(BY_GROUP)


def test_twenty_campaigns_have_every_fault() -> None:
    names = {harm.fault.name for seed in range(1, 21) for step in plan(seed, short=False) for harm in step.harms}
    assert names == {fault.name for fault in FAULTS}


def test_faults_at_the_same_time_are_of_different_groups() -> None:
    for seed in range(50):
        for step in plan(seed, short=False):
            groups = [harm.fault.group for harm in step.harms]
            assert len(groups) == len(set(groups))
