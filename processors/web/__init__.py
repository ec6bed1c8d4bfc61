"""How Salespulse's programs serve HTTP: connections that no client can block, and the metrics port."""
