"""The read model in Redis: workers write it, boards follow it, boards and notifiers share its acknowledgements.

The way of a number: `writer` publishes it in steps of `publish.lua` (`publication`), which checks the fence of the
partition's owner; `follower` reads it into the board's memory. `schemas.views` describes the values.
"""
