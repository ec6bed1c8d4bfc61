"""The program `salespulse`: Ctrl-C ends it quietly from its first instant, not only once everything is loaded."""

import signal
import sys


def main() -> None:
    """Load the commands and run the one that was named."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from processors.commands.cli import main as commands  # noqa: PLC0415 -- this is what takes its time
    from processors.commands.command_line import INTERRUPTED  # noqa: PLC0415

    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        commands()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
