"""Garbage collection that never looks at the state: it is millions of objects, and none of them is in a cycle.

Python looks for cycles among young objects, and sometimes among all: a tenth of a busy worker's time, and pauses of a
third of a second. So what a batch leaves behind is set aside unseen; what else came into being meanwhile - that of the
event loop, a few hundred objects - is looked at before every batch.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def state_grows() -> Iterator[None]:
    """What is made within the block and lives on is kept, and is free of cycles."""
    gc.collect(0)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
