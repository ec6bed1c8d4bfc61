"""Typed settings and policy, and the configuration files of everything that runs beside Salespulse."""
