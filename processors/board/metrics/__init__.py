"""`/metrics`: the series of reps, teams and the company in the Prometheus text format."""
