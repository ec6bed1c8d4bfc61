"""The read model in Redis: workers write it, boards follow it, boards and notifiers share acknowledgements in it."""
