"""Garbage collection looks at what the event loop leaves behind, and never at the state."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from processors.agents.gc_control import state_grows


class Knot:
    """Something in a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    """What is set aside here comes back after the test."""
    yield
    gc.unfreeze()


def test_a_cycle_left_behind_by_the_loop_is_found_before_the_next_batch() -> None:
    with state_grows():
        pass
    left = ref(Knot())
    with state_grows():
        assert left() is None


def test_what_a_batch_makes_is_set_aside() -> None:
    with state_grows():
        made = [[number] for number in range(1000)]
    young = gc.get_objects(generation=0)
    assert not any(one is made or one is made[500] for one in young)
    assert gc.isenabled()


def test_nothing_is_collected_within_a_batch() -> None:
    with state_grows():
        assert not gc.isenabled()
        left = ref(Knot())
        assert left() is not None


def test_it_is_on_again_after_a_failure() -> None:
    with pytest.raises(ZeroDivisionError), state_grows():
        raise ZeroDivisionError
    assert gc.isenabled()
