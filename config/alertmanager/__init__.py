"""Alertmanager: who gets what, and the copy of its configuration for a run without containers."""
