"""The application: a pure core, and the shells that connect it to Kafka, Redis, Prometheus and people."""
