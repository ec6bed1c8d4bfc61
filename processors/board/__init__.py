"""The board: what people and Prometheus read of the live numbers, over HTTP."""
