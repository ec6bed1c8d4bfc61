"""Prometheus: what it scrapes, the rules it evaluates, and a copy of its configuration for runs without containers."""
