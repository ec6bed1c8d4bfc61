"""The program `salespulse`: Ctrl-C ends it quietly from its first instant, not only once everything is loaded."""

import signal


def main() -> None:
    """Load the commands and run the one that was named."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from processors.cli import main as commands  # noqa: PLC0415 -- this is what takes its time

    signal.signal(signal.SIGINT, signal.default_int_handler)
    commands()
