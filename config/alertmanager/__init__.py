"""Alertmanager: who is told what, and the copy of its configuration for a run without containers."""
