"""Grafana as code: boards built in Python from one catalogue of words, and what Grafana is provisioned with."""
