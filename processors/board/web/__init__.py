"""Who may ask, how often, and how the board's errors look."""
