"""Instants, zones, working time and windows. Instants are integer microseconds since 1970."""
