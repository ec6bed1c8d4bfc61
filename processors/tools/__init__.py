"""The reader of whole topics."""
