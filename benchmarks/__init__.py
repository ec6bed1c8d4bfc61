"""Benchmarks: each runs by itself as `python -m benchmarks.<name>`; README.md tells the method."""
