"""The world outside: where numbers and alerts go."""
