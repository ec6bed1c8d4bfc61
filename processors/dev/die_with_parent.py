"""Runs a program that dies with its parent: `python die_with_parent.py <pid of the parent> <program> [...]`.

Run as a file of its own, not imported: on Linux the kernel is asked to kill us when our parent thread ends, and then
this process becomes the program. A `preexec_fn` could do the same, but not safely when the parent has threads.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> None:
    """Become the program; the signal stays asked for through `exec`."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before we could ask
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
