"""The contract: every message, value and error that crosses a process boundary."""
