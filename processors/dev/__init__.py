"""The whole stack on one machine without Docker: embedded broker and Redis, monitoring, the demo."""
