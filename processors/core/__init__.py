"""The pure core: facts in, numbers out. No clock, no I/O, no randomness; the same facts give the same numbers."""
