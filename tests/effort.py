"""CPU time, for tests that say how it grows."""

import gc
from collections.abc import Callable
from time import process_time


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of some work, without garbage collection: that looks at all that the test process ever made."""
    gc.disable()
    try:
        began = process_time()
        work()
        return process_time() - began
    finally:
        gc.enable()
