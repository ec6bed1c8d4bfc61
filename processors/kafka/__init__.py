"""Kafka outside of the worker: connection, topics, producers, readers, and the parsing of record batches."""
