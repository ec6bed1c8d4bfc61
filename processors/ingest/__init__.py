"""Where events come from: the simulator, CSV imports and what puts them onto Kafka."""
