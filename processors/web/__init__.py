"""How Salespulse's programs serve HTTP: connections that nobody can hold for ever, and the port for metrics."""
